"""Are the inputs of a size that the model can learn from?

## What it measures
Mean, deviation and range of the floating-point inputs of the first batches. Where they are large,
or far from zero beside their deviation, one batch is learned by heart twice: as it is, and with
each feature at mean 0 and deviation 1.

## Why it matters
Layers are initialised for inputs of about one. Inputs of hundreds saturate what follows, make the
first steps too large, and give features of another unit all the weight; an offset that is large
beside what varies hides it.

## Known limits
It speaks only where standardised inputs are learned and the others take at least four times as many
steps. A model that norms its inputs by itself learns both alike, and one that was trained before
on inputs as they are learns those faster; nothing is said then. One feature on a scale of its own
among many is seen only where it makes a value large.

## References
LeCun et al., "Efficient BackProp", 1998, section 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from traindoctor.experiments import Experiment, OverfitBatch, ReadBatches
from traindoctor.probing import (
    Ask,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import LeafRow, Trace
from traindoctor_probes._loaders import TARGET_NAMES
from traindoctor_probes._trials import curve

LARGE = 50.0  # magnitude
FAR = 5.0  # deviations from zero
SLOWER = 4.0
HALF = 0.5  # of the way to the floor
MAX_SECONDS = 10.0
MIN_STEPS = 10  # more than these, or the difference is of no interest

NOT_NORMALISED = Rule(
    code="TD506",
    name="input-not-normalised",
    severity=Severity.WARNING,
    title="{key} has mean {mean}, deviation {std}: standardised, it is learned in {num_steps} "
    "steps, else in {own_steps}",
    what="Inputs are large, or far from zero, and the model learns them badly for it.",
    why="What is learned slowly from one batch is not learned from many.",
    known_limits="Speaks only where standardised inputs are learned at least four times as fast.",
    remedies=(
        Remedy(
            "Standardise each feature by the training data's own mean and deviation",
            recommended=True,
            before="dataset = TensorDataset(features, labels)",
            after="mean, std = features.mean(0), features.std(0)\n"
            "dataset = TensorDataset((features - mean) / std, labels)",
        ),
        Remedy(
            "Let the model do it",
            pros="The statistics are saved with the weights.",
            after="self.norm = nn.BatchNorm1d(num_features)\nx = self.norm(x)",
        ),
    ),
    explains=(
        "TD104",
        "TD105",
        "TD108",
        "TD202",
        "TD204",
        "TD205",
        "TD210",
        "TD214",
        "TD408",
        "TD409",
        "TD6",
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the inputs' range, and learn one batch both ways where it is large."""
    read = ask(ReadBatches())
    read.require(batches=1)
    keys = [leaf.key for leaf in inputs_of(read, 0) if is_odd(read, leaf.key)]
    if not keys:
        return
    own = ask(OverfitBatch(max_seconds=MAX_SECONDS))
    other = ask(OverfitBatch(max_seconds=MAX_SECONDS / 2, standardised=True))
    edge = half_way(own, other)
    steps = None if edge is None else reached(other, edge)
    if edge is None or steps is None or other.facts["overfit"]["learned"] is not True:
        return
    has_ended = own.facts["overfit"]["course"] in ("stuck", "flat", "rising", "not finite")
    slow = reached(own, edge) or (math.inf if has_ended else len(own.losses))
    if slow > max(SLOWER * steps, MIN_STEPS):
        yield finding(read, keys, own, other, edge)


def inputs_of(read: Trace, number: int) -> list[LeafRow]:
    """Return the floating-point inputs of a batch: all but its targets."""
    batch = read.batches[number]
    last = batch.leaves[-1:] if batch.kind == "sequence" and len(batch.leaves) > 1 else ()
    return [
        leaf
        for leaf in batch.leaves
        if leaf.dtype.startswith(("float", "bfloat"))
        and len(leaf.shape) > 1
        and leaf not in last
        and leaf.key.rpartition(".")[2] not in TARGET_NAMES
    ]


def is_odd(read: Trace, key: str) -> bool:
    """Tell whether an input is large, or far from zero, in every batch that was read."""
    rows = [leaf for n in range(len(read.batches)) for leaf in inputs_of(read, n)]
    rows = [row for row in rows if row.key == key]
    return all(
        row.std is not None
        and row.std > 0
        and row.num_nan == row.num_infinite == 0
        and (size(row) > LARGE or abs(row.mean or 0.0) > FAR * row.std)
        for row in rows
    )


def size(row: LeafRow) -> float:
    """Return the largest magnitude."""
    return max(abs(row.minimum or 0.0), abs(row.maximum or 0.0))


def half_way(*runs: Trace) -> float | None:
    """Return the loss half the way between the floor and where the lower of the runs starts."""
    facts = [run.facts["overfit"] for run in runs]
    if any(each["start"] is None or each["floor"] is None for each in facts):
        return None
    floor = facts[0]["floor"]
    return float(floor + HALF * (min(each["start"] for each in facts) - floor))


def reached(run: Trace, edge: float) -> int | None:
    """Return the steps after which the loss is below the edge for good."""
    above = [index for index, row in enumerate(run.losses) if not row.value <= edge]
    first = above[-1] + 1 if above else 0
    return first + 1 if first < len(run.losses) else None


def finding(read: Trace, keys: list[str], own: Trace, other: Trace, edge: float) -> Finding:
    """Return the finding, with both curves."""
    rows = [leaf for leaf in inputs_of(read, 0) if leaf.key in keys]
    row = max(rows, key=size)
    name = f"element {row.key}" if row.key.isdigit() else f"'{row.key}'"
    num_own, steps = reached(own, edge), reached(other, edge)
    took = f"{num_own} steps" if num_own else f"none of {len(own.losses)} steps"
    return NOT_NORMALISED.finding(
        f"{name} of the first batch has mean {figure(row.mean)}, standard deviation "
        f"{figure(row.std)}, and lies between {figure(row.minimum)} and {figure(row.maximum)}. "
        f"The loss of that batch, trained on alone, comes down to {figure(edge)} in {took}; with "
        f"standardised inputs in {steps}.",
        mechanism="The first layer's outputs grow with its inputs, and so do its gradients. A "
        "rate that suits the other layers is too high for it, and what follows saturates.",
        location=first_location([read.setup.loader_place, read.setup.factory]),
        evidence=[
            Evidence("mean", row.mean, "near 0"),
            Evidence("standard deviation", row.std, "near 1"),
            Evidence("largest magnitude", size(row)),
            Evidence(f"steps to a loss of {figure(edge)}", num_own or len(own.losses), steps),
            Evidence("end of the loss", own.facts["overfit"]["end"]),
            Evidence("end of the loss, standardised", other.facts["overfit"]["end"]),
        ],
        series=[curve(label, run) for label, run in (("as it is", own), ("standardised", other))],
        key=name,
        mean=figure(row.mean),
        std=figure(row.std),
        num_steps=steps,
        own_steps=str(num_own) if num_own else "more",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; a batch is learned where its inputs are odd."""
    return (ReadBatches(),)


probe = Probe(
    name="input-scale",
    doc=__doc__,
    rules=(NOT_NORMALISED,),
    examine=examine,
    experiments=experiments,
)
