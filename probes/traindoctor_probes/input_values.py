"""Are the values in the batches finite?

## What it measures
NaN and infinities in every floating-point tensor of the first batches, inputs and targets, with
the first sample that holds one. Such a batch is then trained on once, to see whether the loss
and the gradients stay finite.

## Why it matters
A NaN that goes in comes out: one bad sample makes the loss of its whole batch NaN, and one step
on that loss ruins every weight.

## Known limits
Only the first batches are read, so a bad sample later in the data is not found. -inf alone is
taken for a mask that is added to scores. A NaN that marks a missing value and that the loss
leaves out is no fault; it is told as information.

## References
IEEE 754, propagation of NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from traindoctor.experiments import Experiment, OneStep, ReadBatches
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import BatchRow, LeafRow, Trace

NOT_FINITE = Rule(
    code="TD505",
    name="input-not-finite",
    severity=Severity.CRITICAL,
    title="{key} of batch {batch} holds {kinds}",
    what="Inputs or targets hold NaN or infinities.",
    why="One bad sample makes the loss of its batch NaN, and the next step every weight.",
    known_limits=(
        "Only the first batches are read. -inf alone counts as a mask. Reported as information "
        "where loss and gradients stay finite all the same."
    ),
    remedies=(
        Remedy(
            "Mend the samples where the data is prepared",
            recommended=True,
            pros="A constant column, an empty mean or the log of 0 is mended at its source.",
            before="features = (features - features.mean(0)) / features.std(0)",
            after="features = (features - features.mean(0)) / features.std(0).clamp(min=1e-6)",
        ),
        Remedy(
            "Leave such samples out, and count them",
            pros="Needs no knowledge of why they are bad.",
            cons="Hides the reason; how many are lost must be watched.",
            after="keep = torch.isfinite(features).all(dim=1)\nfeatures = features[keep]",
        ),
    ),
    explains=("TD102", "TD106", "TD203", "TD418", "TD408", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the first batches' values, and train once on the first bad one."""
    read = ask(ReadBatches())
    read.require(batches=1)
    for key in dict.fromkeys(leaf.key for batch in read.batches for leaf in batch.leaves):
        bad = [
            (b, leaf) for b in read.batches for leaf in b.leaves if leaf.key == key and is_bad(leaf)
        ]
        if bad:
            yield finding(read, bad, ask(OneStep(batch=bad[0][0].index)))


def is_bad(leaf: LeafRow) -> bool:
    """Tell whether a tensor holds NaN or +inf; -inf alone is a mask."""
    return leaf.num_nan > 0 or leaf.num_infinite > leaf.num_negative_infinite


def finding(read: Trace, bad: list[tuple[BatchRow, LeafRow]], step: Trace) -> Finding:
    """Return the finding for one key of the batches."""
    batch, leaf = bad[0]
    nan, infinite = (
        sum(getattr(row, name) for _, row in bad) for name in ("num_nan", "num_infinite")
    )
    kinds = " and ".join(name for name, count in (("NaN", nan), ("infinities", infinite)) if count)
    harm, of_factory = harmed(step), read.setup.kind != "script"
    sample = (
        f", first in sample {leaf.first_bad_sample}" if leaf.first_bad_sample is not None else ""
    )
    return NOT_FINITE.finding(
        f"{key_name(leaf)} of batch {batch.index} holds {leaf.num_nan} NaN and "
        f"{leaf.num_infinite} infinite values of {math.prod(leaf.shape):,}{sample}; "
        f"{len(bad)} of {counted(len(read.batches), 'batch')} read have such. "
        f"{harm or 'Loss and gradients of that batch are finite all the same.'}",
        severity=None if harm else Severity.INFO,
        mechanism="A NaN passes through every operation it meets; an infinity becomes one in the "
        "first difference or product with zero. The mean over the batch holds it.",
        location=first_location([read.setup.factory if of_factory else read.setup.loader_place]),
        evidence=[
            Evidence("NaN values", nan, 0),
            Evidence("infinite values", infinite, 0),
            Evidence("batches that hold some", len(bad), 0),
            Evidence("batches read", len(read.batches)),
            Evidence("first sample", leaf.first_bad_sample),
            Evidence("range of the others", f"{leaf.minimum} to {leaf.maximum}"),
        ],
        subject=leaf.key,
        key=key_name(leaf),
        batch=batch.index,
        kinds=kinds,
    )


def harmed(step: Trace) -> str:
    """Say what one step on the batch came to, or nothing if all stayed finite."""
    if step.exceptions:
        return f"Training on it raises {step.exceptions[0].type_name}."
    if any(not math.isfinite(row.value) for row in step.losses):
        return "The loss of that batch is not finite."
    ruined = {row.parameter for row in step.gradients if row.num_not_finite}
    return f"{counted(len(ruined), 'gradient')} of that batch are not finite." if ruined else ""


def key_name(leaf: LeafRow) -> str:
    """Name a part of a batch as people do."""
    return f"element {leaf.key}" if leaf.key.isdigit() else f"'{leaf.key}'"


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; a step on a bad batch follows where there is one."""
    return (ReadBatches(),)


probe = Probe(
    name="input-values",
    doc=__doc__,
    rules=(NOT_FINITE,),
    examine=examine,
    experiments=experiments,
    core=True,
)
