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
from traindoctor.probing.syntax import at, function_at, guards
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
    """Return the conditions under which the code leaves a batch before its backward pass."""
    backward = next((row.place for row in run.backwards if row.place), Place())
    loop = next((place for place in run.facts.get("loop_places", ()) if place), Place())
    inside = backward or loop
    function = function_at(source, inside)
    if function is None:
        return []
    is_same = loop.file == inside.file and function.lineno <= (loop.line or 0)
    first = max(function.lineno, loop.line or 0) if is_same else function.lineno
    last = backward.line or function.end_lineno or 0
    around = (
        [g.place for g in guards(source, inside) if g.kind in ("if", "else")] if backward else []
    )
    row = next(row for row in source if row.file == inside.file)
    leaves = [
        at(row, node)
        for node in ast.walk(function)
        if isinstance(node, ast.If)
        and any(isinstance(inner, ast.Continue | ast.Return) for inner in node.body)
    ]
    found = {place: None for place in (*around, *leaves) if first < (place.line or 0) < last}
    return list(found)


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
