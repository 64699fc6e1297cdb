"""Do all batches reach a backward pass, or does a handler hide that they fail?

## What it measures
Every exception that an `except` of the user's own code catches while the setup is made and in a
short run: handler, raising line, batch, and whether that batch was differentiated and stepped on
all the same. Of an attribute that a module lacks: whether a module inside it has it.

## Why it matters
`except Exception: continue` around a training step turns a crash into silence. The loop goes on,
fast, the loss stays at its initial value, and nothing is trained.

## Known limits
Only a step or loop of the user's own is seen, and only in this process: not handlers in
loader workers, nor `contextlib.suppress`. A handler that loses no batch is reported only if it
does nothing at all and hides a module's attribute that a module inside has (a wrapped layer).
A batch skipped on purpose is information only: a `raise` of the user's, of their own exception, or
of another that the handler names and that it counts, tells of or raises again. Whether anybody
reads the count, and whether as many should be skipped, is not judged unless every batch is lost.
Where memory ran out, the doctor's own copies may have had a part in it.

## References
PEP 8, "Programming Recommendations": a bare `except` hides other errors.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import counted, location
from traindoctor.trace import HandledRow, Place, SourceRow, Trace
from traindoctor_probes._declared_skips import handlers_at, is_declared
from traindoctor_probes._training_loops import spot
from traindoctor_probes._unrun import idle_handlers

MOST_LOST = 0.05  # share of batches from which on the run is worthless

SWALLOWED = Rule(
    code="TD801",
    name="swallowed-exception",
    severity=Severity.CRITICAL,
    title="{what}: {type_name} is caught",
    what="Exceptions raised in the training step are caught by the loop's own handler, and the "
    "batch is lost.",
    why="The batches that raised train nothing, and no message says so.",
    known_limits="Speaks only of handlers through which a batch lost its backward pass or its "
    "step in the observed run, or that hide a misplaced attribute; handlers in loader workers and "
    "`contextlib.suppress` are not seen. Batches that the user's `raise` skips, of an exception "
    "of theirs or one that the handler names and tells of, are information.",
    remedies=(
        Remedy(
            "Repair the line that raises, and let what is not expected end the run",
            recommended=True,
            pros="The next fault shows itself at once, with its traceback.",
            before="try:\n    loss = step(batch)\nexcept Exception:\n    continue",
            after="loss = step(batch)",
        ),
        Remedy(
            "Catch only what you expect, and count it",
            pros="A rare bad sample does not end a long run.",
            cons="Somebody has to read the count.",
            after="except OutOfMemoryError as error:\n    num_skipped += 1\n"
            '    print(f"batch {index} skipped: {error}")\n'
            "    if num_skipped > 0.01 * len(loader):\n        raise",
        ),
    ),
    explains=("TD1", "TD2", "TD403", "TD404", "TD405", "TD416", "TD5", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Name each handler through which batches are lost."""
    run = ask(ShortRun())
    by_handler: dict[Place, list[HandledRow]] = {}
    for row in run.handled:
        by_handler.setdefault(row.handler, []).append(row)
    for rows in by_handler.values():
        guilty = [row for row in rows if lost(run, row)]
        if guilty:
            ranked = sorted(guilty, key=lambda row: -row.count)
            source = ask(ReadSource()).source
            yield replace(
                swallowed(run, ranked, all(is_declared(source, row) for row in guilty)),
                remedies=remedies(source, ranked[0]),
            )
            continue
        misplaced = [row for row in rows if row.found_on]
        if misplaced and is_idle(ask(ReadSource()).source, misplaced[0].handler):
            yield hidden(ask, misplaced[0])


def lost(run: Trace, row: HandledRow) -> set[int]:
    """Return the batches in which it was caught that no backward pass, or no step, was taken on."""
    never = run.lost(batch for batch in row.batches if batch >= 0)
    if run.setup.accumulation_steps == 1:
        never |= set(row.after_backward) - {step.batch for step in run.steps}
    return never


def swallowed(run: Trace, rows: list[HandledRow], declared: bool) -> Finding:
    """Return the finding for one handler; the row that was caught most often leads.

    Args:
        run: of which it lost batches.
        rows: what it caught.
        declared: every one of them is a skip on purpose; no fault, unless all batches are lost.
    """
    first, num_batches = rows[0], run.num_batches
    batches = set[int]().union(*(lost(run, row) for row in rows))
    share = len(batches) / num_batches if num_batches else 1.0
    times = sum(row.count for row in rows)
    meant = declared and share < 1
    raised = f"line {first.raised.line}" if first.raised else "an unknown line"
    message = (
        f"`{first.handler.text}` caught {first.type_name} from {raised} {first.count} times; "
        f"{counted(len(batches), 'batch')} of {num_batches} ({share:.0%}) "
        f"{_missed(run, batches)}."
    )
    if len(rows) > 1:
        message += f" It caught {counted(len(rows) - 1, 'other kind')} of exception besides."
    return SWALLOWED.finding(
        message,
        severity=Severity.INFO if meant else _severity(first, share),
        confidence=Confidence.LIKELY if _is_memory(first) else None,
        mechanism="The exception leaves the step before the weights are updated; the handler ends "
        "it there and the loop takes the next batch. The loop runs at the speed of failing.",
        location=location(first.handler, module=first.module),
        also_at=[location(row.raised) for row in rows if row.raised],
        evidence=[
            Evidence("batches lost", len(batches), 0),
            Evidence("batches served", num_batches),
            Evidence("backward passes", run.num_backwards, num_batches),
            Evidence("optimizer steps", run.num_steps),
            Evidence("exceptions caught here", times, 0),
            *(Evidence(f"raised at {_at(row)}", _headline(row)) for row in rows[:4]),
        ],
        quote=first.traceback,
        subject=first.type_name,
        what=f"{len(batches)} of {num_batches} batches "
        + ("are skipped on purpose" if meant else "fail in silence"),
        type_name=first.type_name,
    )


def remedies(source: Sequence[SourceRow], row: HandledRow) -> tuple[Remedy, ...]:
    """Return the ways out, made of the user's own handler."""
    found = next(handlers_at(source, row.handler), None)
    if found is None:
        return SWALLOWED.remedies
    file, node = found
    lines = file.text.splitlines()[node.lineno - 1 : node.body[-1].end_lineno]
    before = textwrap.dedent("\n".join(lines))
    head, body = before.splitlines()[0], "\n".join(before.splitlines()[1:])
    named = (
        head if node.name else re.sub(r"except(\s*:| Exception:)$", "except Exception as e:", head)
    )
    error = node.name or "e"
    counting = f"{named}\n    num_failed += 1\n    if num_failed <= 10:\n"
    counting += f'        print(f"batch failed: {{{error}!r}}")'
    return (
        replace(SWALLOWED.remedies[0], before=before, after=f"{head}\n    raise"),
        replace(SWALLOWED.remedies[1], before=before, after=f"{counting}\n{body}"),
    )


def is_idle(source: Iterable[SourceRow], handler: Place) -> bool:
    """Tell whether a handler only passes or continues: it neither mends nor tells."""
    return any(
        all(isinstance(statement, ast.Pass | ast.Continue) for statement in node.body)
        for _, node in handlers_at(source, handler)
    )


def hidden(ask: Ask, row: HandledRow) -> Finding:
    """Return the finding for code that never runs, because it looks in the wrong module."""
    when = "while the setup was made" if row.phase == "setup" else "in the run"
    return SWALLOWED.finding(
        f"`{row.raised.text}` raised {counted(row.count, 'time')} {when} and was dropped by "
        f"`{row.handler.text}`: {row.sought_on} has no `{row.sought}`, but {row.found_on} "
        "inside it does.",
        severity=Severity.ERROR,
        mechanism=f"`{row.sought}` moved into a module that {row.sought_on} holds. The lines that "
        "look for it on the outside end at the first one, and the handler says nothing.",
        location=location(row.handler),
        also_at=[location(row.raised)],
        evidence=[
            Evidence("times it was caught", row.count, 0),
            Evidence("attribute sought", f"{row.sought_on}.{row.sought}", "one that exists"),
            Evidence("attribute found on", row.found_on),
        ],
        explains=(),
        remedies=[
            _where_it_is(row),
            replace(remedies(ask(ReadSource()).source, row)[0], recommended=False),
        ],
        quote=row.traceback,
        subject=row.type_name,
        what=f"Line {row.raised.line} fails in silence",
        type_name=row.type_name,
    )


def _where_it_is(row: HandledRow) -> Remedy:
    """Return the line that raised with the module in it that has the attribute."""
    inside = row.found_on.partition(" ")[0]
    mended = re.sub(rf"\.{row.sought}\b", f".{inside}.{row.sought}", row.raised.text, count=1)
    return Remedy(
        f"Look for `{row.sought}` in `{inside}`",
        recommended=True,
        pros="What was meant to happen happens.",
        cons="The lines after it need the same.",
        before=row.raised.text,
        after=mended,
    )


def _missed(run: Trace, batches: set[int]) -> str:
    differentiated = batches & {row.batch for row in run.backwards}
    if not differentiated:
        return "never reached a backward pass"
    return "were differentiated but never stepped on" if differentiated == batches else "were lost"


def _severity(row: HandledRow, share: float) -> Severity:
    if _is_memory(row):
        return Severity.WARNING
    return Severity.CRITICAL if share >= MOST_LOST else Severity.ERROR


def _is_memory(row: HandledRow) -> bool:
    return row.type_name == "OutOfMemoryError" or "out of memory" in row.message


def _at(row: HandledRow) -> str:
    return f"line {row.raised.line}" if row.raised else "an unknown line"


def _headline(row: HandledRow) -> str:
    first = row.message.splitlines()[0][:200] if row.message else ""
    return f"{row.type_name}: {first}" if first else row.type_name


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadSource(), ShortRun()


def lint(row: SourceRow) -> Iterator[Finding]:
    """Yield handlers that would hide each failure of a training step."""
    for handler in idle_handlers(row):
        caught = ast.unparse(handler.type) if handler.type else "everything"
        yield SWALLOWED.suspicion(
            f"A batch that fails is dropped in silence: {caught} is caught",
            "The handler around the backward pass does nothing but go on. Should every batch fail, "
            "the loop ends as if all were well.",
            location=spot(row, handler),
            subject=str(handler.lineno),
            confidence=Confidence.POSSIBLE,
        )


probe = Probe(
    name="swallowed-exceptions",
    doc=__doc__,
    rules=(SWALLOWED,),
    examine=examine,
    experiments=experiments,
    lint=lint,
)
