"""Do all samples that are served reach a backward pass?

## What it measures
The batches that the loader served to a step or loop of the user's own, beside the batches whose
graph a backward pass went through, and the statement that the others were left at.

## Why it matters
A `continue` one line too early skips the training with the logging. The epoch is shorter, the log
looks as always, and most of the data is never learned from.

## Known limits
A batch smaller than the others counts as dropped on purpose, and so does the last one observed. A
batch that the model sees without gradients is evaluated on, and so is a whole pass without any
backward beside others that have one. A filter that is meant is reported all the same where it takes
away every tenth batch or more. Only a few batches of an epoch are observed.

## References
PyTorch, torch.utils.data.DataLoader, `drop_last`.
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
from traindoctor.probing.syntax import Function, at, calls, function_at, guards
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import BatchRow, Place, SourceRow, Trace
from traindoctor_probes._coverage import missing_batches

LOST_SHARE = 0.1

MISSING = Rule(
    code="TD502",
    name="samples-missing",
    severity=Severity.ERROR,
    title="{num_missing} of {num_samples} samples served never reach a backward pass",
    what="Batches are fetched and left without being trained on.",
    why="The run sees less data than it says, and takes fewer steps than it is planned for.",
    known_limits="A filter that is meant is told from a mistake by nobody but you.",
    remedies=(
        Remedy(
            "Skip only what is meant to be skipped",
            recommended=True,
            before="if index % 10:\n    continue\nprint(loss)\nloss.backward()",
            after="loss.backward()\nif index % 10 == 0:\n    print(loss)",
        ),
        Remedy(
            "Filter in the data set",
            pros="The number of batches, the schedule and the log are right again.",
            after="dataset = Subset(dataset, [i for i, item in enumerate(dataset) if keep(item)])",
        ),
    ),
    explains=("TD103", "TD404", "TD409", "TD501", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare what was served with what was differentiated."""
    run = ask(ShortRun())
    missing = missing_batches(run)
    if len(missing) >= max(1, LOST_SHARE * len(run.batches)):
        yield left(run, missing, ask(ReadSource()).source)


def left(run: Trace, missing: list[BatchRow], source: tuple[SourceRow, ...]) -> Finding:
    """Return the finding, at the statement that leaves the batches if there is one."""
    places = leaving(run, source)
    caught = sum(row.count for row in run.handled)
    # The places where exceptions were caught say themselves what became of the batch.
    where = [] if caught else places
    loop = next((place for place in run.facts.get("loop_places", ()) if place), Place())
    samples = sum(row.size or 1 for row in missing)
    served = sum(row.size or 1 for row in run.batches)
    how = ""
    if caught:
        how = f" {counted(caught, 'exception')} of theirs were caught."
    elif len(where) == 1:
        how = f" `{where[0].text}` at line {where[0].line} leaves them."
    elif where:
        how = f" They are left at one of {counted(len(where), 'statement')}."
    return MISSING.finding(
        f"{counted(len(run.batches), 'batch')} were served, and {len(missing)} of them "
        f"({samples} samples) came to no backward pass.{how}",
        confidence=Confidence.CERTAIN if len(where) == 1 else Confidence.LIKELY,
        mechanism="A loss that is not differentiated teaches nothing. The loop goes on to the next "
        "batch as if this one had been used.",
        location=first_location([*(where if len(where) == 1 else []), loop, run.setup.factory]),
        also_at=[location(place) for place in where if len(where) > 1],
        evidence=[
            Evidence("samples served", served),
            Evidence("samples differentiated", served - samples, served),
            Evidence("batches left", len(missing), 0),
            Evidence("exceptions caught", caught),
        ],
        num_missing=samples,
        num_samples=served,
    )


def leaving(run: Trace, source: tuple[SourceRow, ...]) -> list[Place]:
    """Return the conditions under which the code leaves a batch before its backward pass.

    They stand before the backward pass, and where that is in another function than the loop,
    before the call of that function too.
    """
    backward = next((row.place for row in run.backwards if row.place), Place())
    loop = next((place for place in run.facts.get("loop_places", ()) if place), Place())
    inner, outer = (function_at(source, place) if place else None for place in (backward, loop))
    found = []
    if inner is not None:
        is_around = inner is outer and (loop.line or 0) < (backward.line or 0)
        found += _conditions(
            source, inner, (loop.line or 0) if is_around else inner.lineno, backward
        )
    if outer is not None and outer is not inner:
        name = inner.name if inner else ""
        called = [
            place
            for place, _ in calls(source, name)
            if place.file == loop.file and (loop.line or 0) < (place.line or 0)
        ]
        end = called[0] if called else Place(loop.file, outer.end_lineno, outer.name)
        found += _conditions(source, outer, loop.line or 0, end)
    return list(dict.fromkeys(found))


def _conditions(
    source: tuple[SourceRow, ...], function: Function, first: int, end: Place
) -> list[Place]:
    """Return the conditions around a line, and those before it that leave: continue or return."""
    row = next(row for row in source if row.file == end.file)
    around = [guard.place for guard in guards(source, end) if guard.kind in ("if", "else")]
    leaves = [
        at(row, node)
        for node in ast.walk(function)
        if isinstance(node, ast.If)
        and any(isinstance(inner, ast.Continue | ast.Return) for inner in node.body)
    ]
    return [p for p in (*around, *leaves) if first < (p.line or 0) < (end.line or 0)]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="sample-coverage",
    doc=__doc__,
    rules=(MISSING,),
    examine=examine,
    experiments=experiments,
)
