"""Does every batch hold labels that count?

## What it measures
Of each loss function called: the share of targets that equal its ignore index. Of the batches
read: how many consist of ignored labels alone (-100, torch's default).

## Why it matters
The mean over no label is 0/0: cross_entropy returns NaN, and one step with it makes every weight
NaN. With a sum the loss is 0.0 and the batch teaches nothing.

## Known limits
Only the batches read are seen. In batches that were read but not trained on, only -100 is known
as an ignore index. A loss that is skipped when nothing is left to count is no fault.

## References
PyTorch, torch.nn.CrossEntropyLoss, `ignore_index`: the mean is taken over the targets not ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import Experiment, OneStep, ReadBatches
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, location
from traindoctor.trace import BatchRow, CriterionRow, Trace

ALL_IGNORED = Rule(
    code="TD009",
    name="all-labels-ignored",
    severity=Severity.ERROR,
    title="All labels of a batch are ignored: {function} returns {value}",
    what="Every target of a batch equals the ignore index.",
    why="The loss is NaN, which ruins the weights in one step, or 0.0, which teaches nothing.",
    known_limits="Batches later in the data than those read are not seen.",
    remedies=(
        Remedy(
            "Find where the labels are masked, and mask less",
            recommended=True,
            pros="The samples are trained on again.",
            cons="Truncation before the answer begins is a common cause: raise `max_length`.",
        ),
        Remedy(
            "Drop samples without any label that counts",
            pros="The loss is always defined.",
            after="dataset = dataset.filter(lambda s: any(y != -100 for y in s['labels']))",
        ),
    ),
    explains=("TD102", "TD103", "TD111", "TD113", "TD202", "TD203", "TD405", "TD6"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How many of the batches whose labels are all ignored are tried."""

    num_tried: int = 2


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Judge the first batch's loss functions, then those of the batches without labels."""
    step, read = ask(OneStep()), ask(ReadBatches())
    empty = [row.index for row in read.batches if unlabelled(row)]
    traces = [step]
    if not step.setup.has_train_loop:
        traces += [ask(OneStep(batch=index)) for index in empty[: options.num_tried] if index]
    for trace in traces:
        for row in trace.criteria:
            if row.share_ignored == 1 and is_lost(row):
                yield finding(row, trace, read, empty)
                return


def unlabelled(batch: BatchRow) -> bool:
    """Tell whether one of a batch's tensors holds nothing but ignored labels."""
    return any(leaf.share_ignored == 1 for leaf in batch.leaves)


def is_lost(row: CriterionRow) -> bool:
    """Tell whether a loss function returned nothing to learn from."""
    return row.value is None or not math.isfinite(row.value) or row.value == 0


def finding(row: CriterionRow, trace: Trace, read: Trace, empty: list[int]) -> Finding:
    """Return the finding, graver where the loss is NaN or most batches are like that."""
    is_nan = row.value is None or not math.isfinite(row.value)
    num_read = len(read.batches)
    often = 2 * len(empty) >= num_read
    key = next(
        (leaf.key for b in read.batches for leaf in b.leaves if leaf.share_ignored == 1), None
    )
    source = f" (the batch's `{key}`)" if key else ""
    counted = f" {len(empty)} of the {num_read} batches read are like that." if empty else ""
    return ALL_IGNORED.finding(
        f"In batch {row.batch} every target of {row.function}{source} equals the ignore index "
        f"{row.ignore_index}, and it returned {figure(row.value)}.{counted}",
        severity=None if is_nan or often else Severity.WARNING,
        mechanism="The mean is taken over the targets that are not ignored; there is none, and "
        "0/0 is NaN. Its gradient is NaN in every parameter."
        if is_nan
        else "Ignored targets add nothing to the sum, so the loss is 0 and so is its gradient.",
        location=location(row.place or trace.setup.factory),
        evidence=[
            Evidence("share of ignored targets", 1.0, "below 1"),
            Evidence("loss", figure(row.value), "finite and above 0"),
            Evidence("batches without a label that counts", len(empty), 0),
            Evidence("batches read", num_read),
        ],
        function=row.function,
        value=figure(row.value),
    )


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadBatches(), OneStep()


probe = Probe(
    name="label-coverage",
    doc=__doc__,
    rules=(ALL_IGNORED,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
