"""Does the head have a class for each label, and not many more?

## What it measures
The classes that a cross entropy compares, beside the largest label in the batches that were read,
and, where those leave most classes out, in samples from all over the data set.

## Why it matters
A head of 1,000 classes over 10 labels has to learn first that 990 of them never come. The loss
begins at ln 1000 and not at ln 10, and accuracies of the best five mean nothing.

## Known limits
Speaks where at least three quarters of the classes lie above the largest label; rare labels that
only later samples hold would be missed where classes are numbered by how often they come, which is
why it is likely at most. A vocabulary that a table of the same size shares is meant.

## References
Karpathy, "A Recipe for Training Neural Networks": verify the loss at initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from traindoctor.experiments import Experiment, OneStep, ReadBatches, SpreadSamples
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import first_location
from traindoctor.trace import BatchRow, CriterionRow, ModuleRow, Trace

TOO_WIDE = Rule(
    code="TD717",
    name="head-larger-than-labels",
    severity=Severity.WARNING,
    title="The head has {num_classes:,} classes, the labels end at {largest}",
    what="A classifier has far more classes than the data has labels.",
    why="It learns first which classes never come, and its loss is measured against all of them.",
    known_limits="Labels that none of the samples read holds are not known.",
    remedies=(
        Remedy(
            "Give the head a class for each label",
            recommended=True,
            before="self.head = nn.Linear(dim, 1000)",
            after="self.head = nn.Linear(dim, num_labels)",
        ),
        Remedy(
            "Look at how labels are read",
            pros="If there should be more of them, some are lost on the way.",
        ),
    ),
    explains=("TD104",),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What counts as far more."""

    factor: float = 4.0  # classes for each label up to the largest
    fewest_samples: int = 64
    samples_per_label: int = 8


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Compare the classes of the first step's cross entropies with the labels of many samples."""
    step = ask(OneStep())
    tables = {row.attributes.get("num_embeddings") for row in step.modules}
    for row in step.criteria:
        is_of_samples = len(row.target_shape) == 1 and len(row.input_shape) == 2
        if row.function != "cross_entropy" or not is_of_samples or row.num_classes in tables:
            continue
        largest, number = read_labels(ask(ReadBatches(num_batches=16)).batches, row)
        if not is_too_wide(row, largest, number, options):
            continue
        spread, more = read_labels(ask(SpreadSamples()).batches, row, of_one=True)
        largest = max(largest or 0, spread or 0)
        if is_too_wide(row, largest, number + more, options):
            yield too_wide(row, largest, number + more, step)
            return


def is_too_wide(row: CriterionRow, largest: int | None, number: int, options: Options) -> bool:
    """Tell far more classes than labels, of which enough were read."""
    if largest is None or row.num_classes is None:
        return False
    num_labels = largest + 1
    is_enough = number >= max(options.fewest_samples, options.samples_per_label * num_labels)
    return is_enough and row.num_classes >= options.factor * max(num_labels, 2)


def read_labels(
    batches: Sequence[BatchRow], row: CriterionRow, of_one: bool = False
) -> tuple[int | None, int]:
    """Return the largest label and the number of labels, of the tensor that the loss is given."""
    found: list[tuple[float, int]] = []
    for batch in batches:
        for leaf in batch.leaves:
            is_label = leaf.dtype == row.target_dtype == "int64" and len(leaf.shape) == 1
            if is_label and leaf.maximum is not None and leaf.key == label_key(batch, of_one):
                found.append((leaf.maximum, leaf.shape[0]))
    largest = max((value for value, _ in found), default=None)
    return None if largest is None else int(largest), sum(number for _, number in found)


def label_key(batch: BatchRow, of_one: bool) -> str | None:
    """Return the one key whose tensors have a label's shape; None where there are several."""
    shape = (1,) if of_one else (batch.size,)
    keys = [leaf.key for leaf in batch.leaves if leaf.dtype == "int64" and leaf.shape == shape]
    return keys[0] if len(keys) == 1 else None


def too_wide(row: CriterionRow, largest: int, number: int, step: Trace) -> Finding:
    """Return the finding for one head."""
    heads = [
        module
        for module in step.modules
        if module.attributes.get("out_features") == row.num_classes and module.num_calls
    ]
    head = max(heads, key=lambda module: module.order or 0, default=ModuleRow(path=""))
    classes = row.num_classes or 0
    return TOO_WIDE.finding(
        f"{number:,} labels were read, from all over the data where it has indices: none is above "
        f"{largest}, and {classes - largest - 1:,} of {classes:,} classes never come.",
        confidence=Confidence.LIKELY,
        mechanism="A softmax divides by the sum over all classes. The gradient of the first steps "
        "goes into pushing down those that no label ever names.",
        location=first_location([head.place, row.place], module=head.path or None),
        evidence=[
            Evidence("classes of the head", classes, largest + 1),
            Evidence("largest label", largest),
            Evidence("labels read", number),
            Evidence("loss of a blind guess", math.log(classes), math.log(largest + 1)),
        ],
        num_classes=classes,
        largest=largest,
    )


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (OneStep(),)


probe = Probe(
    name="head-width",
    doc=__doc__,
    rules=(TOO_WIDE,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
