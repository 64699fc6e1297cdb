"""Do all samples that are served reach a backward pass?

## What it measures
The batches that the loader served to a step or loop of the user's own, beside the batches whose
graph a backward pass went through, and the statement that the others were left at.

## Why it matters
A `continue` one line too early skips the training with the logging. The epoch is shorter, the log
looks as always, and most of the data is never learned from.

## Known limits
A batch smaller than the others counts as dropped on purpose, and so does an epoch's last. A batch
that the model sees without gradients is evaluated on, and so is a whole pass without any backward
beside others that have one. Fewer than a quarter of the batches are silent, and so are a warm-up, a
schedule over the epochs, batches that are kept for a later step, and loops with as many backward
passes as batches. A filter that looks at the batch is told for information.

## References
PyTorch, torch.utils.data.DataLoader, `drop_last`.
"""

from __future__ import annotations

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
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import BatchRow, Place, Trace
from traindoctor_probes._coverage import is_meant, missing_batches
from traindoctor_probes._leaving import Leaving, leaving

LOST_SHARE, FEWEST = 0.25, 3  # fewer batches may be left for reasons of their own

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
    if len(missing) < max(FEWEST, LOST_SHARE * len(run.batches)):
        return
    # Where exceptions were caught, that says what became of the batches.
    caught = sum(row.count for row in run.handled)
    conditions = [] if caught else leaving(run, ask(ReadSource()).source)
    if not is_meant(run, conditions):
        yield left(run, missing, conditions, caught)


def left(run: Trace, missing: list[BatchRow], conditions: list[Leaving], caught: int) -> Finding:
    """Return the finding, at the statement that leaves the batches if there is one."""
    where = [condition.place for condition in conditions]
    is_filter = any(condition.reads_data for condition in conditions)
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
        severity=Severity.INFO if is_filter else None,
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
