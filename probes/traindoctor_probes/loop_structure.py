"""Does the user's loop take its steps, and its batches, where it should?

## What it measures
In a short run of the user's own loop: the batches served in each epoch, after which of them the
optimizer stepped, and on how many backward passes; in the source: what stands inside the batch
loop and what behind it.

## Why it matters
Python's blocks are indentation. A step four spaces too far to the left runs once an epoch; a
`return` four too far to the right ends the epoch after its first batch.

## Known limits
Epochs are cut to a few batches, so an accumulation window that is longer than that and ends with
the epoch cannot be told from a misplaced step unless it is declared. A `break` under a condition
is reported only if the condition names nothing but the batch's number. Full-batch training is
told by a division of the loss inside the loop and by gradients that the loop does not clear.

## References
PEP 8, "Indentation".
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

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
from traindoctor.probing.syntax import at, function_at, guards, last_name
from traindoctor.probing.wording import counted, location
from traindoctor.trace import PassRow, Place, SourceRow, Trace
from traindoctor_probes._training_loops import spot, training_loops
from traindoctor_probes._unrun import ends_at_once

Source = tuple[SourceRow, ...]

STEP_OUTSIDE = Rule(
    code="TD808",
    name="step-outside-batch-loop",
    severity=Severity.ERROR,
    title="One optimizer step an epoch: {num_steps} for {num_backwards} backward passes",
    what="The optimizer's step stands behind the batch loop and runs once an epoch.",
    why="All batches but the last are computed in vain, or are summed into one huge gradient.",
    known_limits="Full-batch training is recognised by a loss that is divided inside the loop; a "
    "sum of gradients that is meant as such is reported as likely a mistake.",
    remedies=(
        Remedy(
            "Step inside the batch loop",
            recommended=True,
            pros="Every batch moves the weights.",
            before="for batch in loader:\n    loss(batch).backward()\noptimizer.step()",
            after="for batch in loader:\n    optimizer.zero_grad()\n    loss(batch).backward()\n"
            "    optimizer.step()",
        ),
        Remedy(
            "Say that the whole epoch is one batch",
            cons="One step an epoch; slow to learn.",
            after="for batch in loader:\n    (loss(batch) / len(loader)).backward()\n"
            "optimizer.step()\noptimizer.zero_grad()",
        ),
    ),
    explains=("TD103", "TD109", "TD205", "TD208", "TD210", "TD404", "TD409", "TD416", "TD6"),
)
ENDS_EARLY = Rule(
    code="TD809",
    name="loop-ends-early",
    severity=Severity.ERROR,
    title="Each epoch ends after its first batch: `{statement}` in the batch loop",
    what="A `break` or `return` in the batch loop's body ends each epoch after one batch.",
    why="The rest of the data is never seen.",
    known_limits="A condition that names anything but the batch's number is taken as meant.",
    remedies=(
        Remedy(
            "Move the statement behind the loop",
            recommended=True,
            before="for batch in loader:\n    total += step(batch)\n    return total",
            after="for batch in loader:\n    total += step(batch)\nreturn total",
        ),
        Remedy(
            "Make a smoke run one that says so",
            pros="The full run is the default.",
            after="if args.smoke and index == 0:\n    break",
        ),
    ),
    explains=("TD103", "TD404", "TD502", "TD503", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at epochs, batches and steps of a loop of the user's own."""
    run = ask(ShortRun())
    loops = [place for place in run.facts.get("loop_places", ()) if place]
    if not run.setup.has_train_loop or not loops or run.exceptions:
        return
    source = ask(ReadSource()).source
    yield from ends_early(run, source, loops[0])
    yield from step_outside(run, source, loops[0])


def ends_early(run: Trace, source: Source, loop: Place) -> Iterator[Finding]:
    """Yield the statement that ends every epoch after one batch."""
    served = _epochs(run)
    node = _loop_at(source, loop)
    if node is None or max(served.values(), default=0) != 1 or run.setup.num_batches == 1:
        return
    found = next(_exits(node), None)
    if found is None:
        return
    statement, test = found
    names = {n.id for n in ast.walk(test) if isinstance(n, ast.Name)} if test else set()
    if not names <= _counters(node):
        return
    row = next(row for row in source if row.file == loop.file)
    there = run.setup.num_batches
    yield ENDS_EARLY.finding(
        f"{counted(len(served), 'epoch')} served {counted(len(run.batches), 'batch')}"
        + (f"; the loader has {there}" if there else "")
        + f". `{at(row, statement).text}` ends the loop of line {loop.line}.",
        confidence=Confidence.LIKELY if test else None,
        mechanism="The statement stands in the loop's body, so that it runs for the first batch "
        "and the loop never comes to the second.",
        location=location(at(row, statement)),
        also_at=[location(loop)],
        evidence=[
            Evidence("batches served in an epoch", 1, there),
            Evidence("epochs observed", len(served)),
            Evidence("optimizer steps", len(run.steps)),
        ],
        statement=at(row, statement).text,
    )


def step_outside(run: Trace, source: Source, loop: Place) -> Iterator[Finding]:
    """Yield the step that runs when the batch loop is over."""
    served, ends = _epochs(run), _last_batches(run)
    if not run.steps or min(served.values(), default=0) < 2:
        return
    is_at_end = all(step.batch in ends for step in run.steps)
    optimizers = {step.optimizer for step in run.steps}
    place, node = run.steps[0].place, _loop_at(source, loop)
    if not is_at_end or len(run.steps) > len(served) * len(optimizers) or node is None:
        return
    if run.setup.accumulation_steps > 1 or not _is_behind(source, place, loop):
        return
    is_cleared = _calls_in(node, "zero_grad")
    if not is_cleared and _divides_loss(node):
        return
    what = "the last batch's gradient" if is_cleared else "the sum of all batches' gradients"
    yield STEP_OUTSIDE.finding(
        f"{counted(len(run.backwards), 'backward pass')} in {counted(len(served), 'epoch')} were "
        f"followed by {counted(len(run.steps), 'optimizer step')}, each after the epoch's last "
        f"batch, on {what}.",
        confidence=None if is_cleared else Confidence.LIKELY,
        mechanism=f"`{place.text}` stands behind the batch loop of line {loop.line}, so it runs "
        f"once an epoch. The weights move by {what} alone.",
        location=location(place),
        also_at=[location(loop), *(location(row.place) for row in run.backwards[:1])],
        evidence=[
            Evidence("optimizer steps", len(run.steps), len(run.backwards)),
            Evidence("backward passes", len(run.backwards)),
            Evidence("epochs observed", len(served)),
            Evidence("gradients cleared inside the loop", is_cleared),
        ],
        num_steps=len(run.steps),
        num_backwards=len(run.backwards),
    )


def _epochs(run: Trace) -> dict[int, int]:
    """Return the number of batches served by epoch."""
    if run.setup.kind == "script":  # of whose batches not all have a row
        return {row.index: row.num_batches for row in _trained(run)}
    served: dict[int, int] = {}
    for row in run.batches:
        served[row.epoch] = served.get(row.epoch, 0) + 1
    return served


def _trained(run: Trace) -> list[PassRow]:
    last = max((step.batch for step in run.steps), default=0)  # that was seen closely
    return [
        row
        for row in run.passes
        if not row.is_evaluation and row.last_batch is not None and row.last_batch <= last
    ]


def _last_batches(run: Trace) -> set[int]:
    if run.setup.kind == "script":
        return {row.last_batch or 0 for row in _trained(run)}
    return set({row.epoch: row.index for row in run.batches}.values())


def _loop_at(source: Source, place: Place) -> ast.For | None:
    """Return the `for` statement whose head stands on a line."""
    function = function_at(source, place)
    line = place.line or 0
    for node in ast.walk(function) if function else ():
        if isinstance(node, ast.For) and node.lineno <= line <= (node.iter.end_lineno or 0):
            return node
    return None


def _exits(loop: ast.For) -> Iterator[tuple[ast.stmt, ast.expr | None]]:
    """Yield what leaves the loop at its body's level, with the condition it stands under."""
    waiting: list[tuple[ast.stmt, ast.expr | None]] = [(node, None) for node in loop.body]
    while waiting:
        node, test = waiting.pop(0)
        if isinstance(node, ast.Break | ast.Return):
            yield node, test
        elif isinstance(node, ast.With | ast.Try):
            waiting = [(inner, test) for inner in node.body] + waiting
        elif isinstance(node, ast.If) and test is None:
            waiting = [(inner, node.test) for inner in node.body] + waiting


def _counters(loop: ast.For) -> set[str]:
    """Return the name that numbers the batches in `for index, batch in enumerate(loader)`."""
    target, call = loop.target, loop.iter
    if not isinstance(call, ast.Call) or last_name(call.func) != "enumerate":
        return set()
    first = target.elts[0] if isinstance(target, ast.Tuple) else None
    return {first.id} if isinstance(first, ast.Name) else set()


def _is_behind(source: Source, step: Place, loop: Place) -> bool:
    """Tell whether a step stands outside the batch loop, in its function or in that's caller."""
    own, around = function_at(source, step), function_at(source, loop)
    if own is None or around is None or step.file != loop.file:
        return False
    if own is not around:
        return _calls_in(own, around.name)
    head = _loop_at(source, loop)
    return head is not None and not any(
        guard.kind == "for" and guard.place.line == head.lineno for guard in guards(source, step)
    )


def _calls_in(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Call) and last_name(n.func) == name for n in ast.walk(node))


def _divides_loss(loop: ast.For) -> bool:
    return any(
        isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
        for node in ast.walk(loop)
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadSource(), ShortRun()


def lint(row: SourceRow) -> Iterator[Finding]:
    """Yield what ends a batch loop in its first turn."""
    for loop in training_loops(row):
        statement = ends_at_once(loop)
        if statement is not None:
            yield ENDS_EARLY.suspicion(
                f"`{ast.unparse(statement)}` ends the loop after its first batch",
                "It stands in the loop's body under no condition.",
                location=spot(row, statement),
            )


probe = Probe(
    name="loop-structure",
    doc=__doc__,
    rules=(STEP_OUTSIDE, ENDS_EARLY),
    examine=examine,
    experiments=experiments,
    lint=lint,
)
