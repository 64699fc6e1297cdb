"""Do the labels tell anything?

## What it measures
The labels of the first batches: how many different ones there are, how often the commonest one
comes, and whether equal inputs have unequal labels. Where most have, two samples of one input are
compared: if they agree in their labels no more often than with the labels shuffled, the inputs say
nothing of the labels. One step shows which tensor the loss is compared with, so that a label nobody
reads is left alone.

## Why it matters
A model that always gives the same answer is right for constant labels. The loss falls, accuracy
is high, and nothing was learned.

## Known limits
Only the first batches are read: sorted data shows one class at first, and is then reported as
such. Labels of tokens and pixels are judged only if they are one and the same throughout. With
fewer than 64 samples it is silent, and so it is where no loss function of torch's was called.
Labels of equal inputs may differ by chance, as words do after the same word, or who wins when the
same two meet: it speaks where the inputs are measured to tell less than a hundredth of the labels.
Contradictions that leave more than that, or too few samples to measure it, are not seen.

## References
He and Garcia, "Learning from Imbalanced Data", 2009.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import Experiment, OneStep, ReadBatches
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
from traindoctor.probing.wording import counted, figure, location
from traindoctor.trace import CriterionRow, LeafRow, Trace
from traindoctor_probes._agreement import agreements

NAMES = ("labels", "label", "targets", "target", "y")

DEGENERATE = Rule(
    code="TD507",
    name="labels-degenerate",
    severity=Severity.WARNING,
    title="{title}",
    what="The labels are all the same, nearly so, or contradict each other.",
    why="There is nothing to tell apart: a constant answer is already right.",
    known_limits=(
        "Only the first batches are read, and only where a loss function of torch's compares "
        "with them. Silent below 64 samples, and where equal inputs tell something of their labels."
    ),
    remedies=(
        Remedy(
            "Look at where the labels are read",
            recommended=True,
            pros="A wrong column, an integer division or one index for all makes them constant.",
            before="label = labels[0]",
            after="label = labels[index]",
        ),
        Remedy(
            "Shuffle the data, or draw rare classes more often",
            pros="Right where the data is sorted, or one class really is rare.",
            cons="The model's probabilities then no longer are the data's.",
            after="sampler = WeightedRandomSampler(weights, num_samples=len(dataset))",
        ),
    ),
    explains=("TD103", "TD504", "TD717"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What counts as degenerate."""

    num_samples: int = 64  # fewer say nothing
    share: float = 0.95  # of the commonest class
    num_batches: int = 16
    told: float = 0.01  # by equal inputs of their labels; odds that are all but even tell 0.013


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Count the labels of the first batches."""
    read = ask(ReadBatches(num_batches=options.num_batches))
    read.require(batches=1)
    columns: dict[str, list[LeafRow]] = defaultdict(list)
    for batch in read.batches:
        keys = [leaf.key for leaf in batch.leaves]
        last = keys[-1] if batch.kind == "sequence" and len(keys) > 1 else None
        for leaf in batch.leaves:
            if leaf.key in NAMES or leaf.key == last:
                columns[leaf.key].append(leaf)
    for key, leaves in columns.items():
        found = judged(read, key, leaves, options)
        if found and is_compared(ask(OneStep()).criteria, leaves[0]):
            yield found


def judged(read: Trace, key: str, leaves: list[LeafRow], options: Options) -> Finding | None:
    """Return the finding for one column of labels, if there is one."""
    lows = {leaf.minimum for leaf in leaves} | {leaf.maximum for leaf in leaves}
    num_samples = sum(leaf.shape[0] for leaf in leaves if leaf.shape)
    if num_samples < options.num_samples or None in lows:
        return None
    if len(lows) == 1:
        value = figure(lows.pop())
        return finding(
            read,
            key,
            title=f"Every label is {value}",
            message=f"All of {num_samples:,} labels read have one value, {value}.",
            evidence=[Evidence("different labels", 1, "2 or more")],
            num_samples=num_samples,
        )
    values = [value for leaf in leaves for value in leaf.values]
    if len(values) < options.num_samples or is_measured(leaves):
        return None
    (commonest, count), *_ = Counter(values).most_common(1)
    share = count / len(values)
    if share > options.share:
        return finding(
            read,
            key,
            title=f"{share:.1%} of the labels are {figure(commonest)}",
            message=f"{count:,} of {len(values):,} labels read are {figure(commonest)}; "
            f"there are {len(set(values))} different ones.",
            evidence=[Evidence("share of the commonest label", share, f"<= {options.share}")],
            num_samples=num_samples,
            confidence=Confidence.LIKELY,
        )
    return contradiction(read, key, leaves, options)


def contradiction(read: Trace, key: str, leaves: list[LeafRow], options: Options) -> Finding | None:
    """Return the finding for equal inputs whose labels are unequal, and as if drawn at random."""
    samples: list[tuple[str, ...]] = []
    labels: list[float] = []
    for batch, labelled in zip(read.batches, leaves, strict=False):
        inputs = [leaf for leaf in batch.leaves if leaf.key != key and leaf.sample_digests]
        if not inputs or any(len(leaf.sample_digests) != len(labelled.values) for leaf in inputs):
            return None
        samples += zip(*(leaf.sample_digests for leaf in inputs), strict=True)
        labels += labelled.values
    total, num_inputs = len(labels), Counter(samples)
    num_labels = Counter(sample for sample, _ in set(zip(samples, labels, strict=True)))
    disputed = sum(number for sample, number in num_inputs.items() if num_labels[sample] > 1)
    if total < options.num_samples or disputed < total / 2:
        return None
    agreed, chance, spread = agreements(samples, labels)
    more = agreed - chance
    if more > 2 * spread or more + 3 * spread > options.told * (1 - chance):
        return None
    return finding(
        read,
        key,
        title=f"{disputed / total:.0%} of the samples have inputs that also have another label",
        message=f"{disputed:,} of {total:,} samples share their inputs, to the last bit, with a "
        f"sample of another label; there are {counted(len(num_inputs), 'different input')}. Two "
        f"samples of one input have one label in {agreed:.1%} of the cases, and in {chance:.1%} "
        "with the labels shuffled.",
        evidence=[
            Evidence("samples whose label is disputed", disputed, 0),
            Evidence("two samples of one input that agree", agreed, f"> {chance:.3f}"),
        ],
        num_samples=total,
    )


def is_measured(leaves: list[LeafRow]) -> bool:
    """Tell real-valued targets, where no value comes twice, from classes."""
    return any(
        leaf.dtype.startswith(("float", "bfloat")) and (leaf.num_distinct or 0) > 2
        for leaf in leaves
    )


def is_compared(criteria: tuple[CriterionRow, ...], leaf: LeafRow) -> bool:
    """Tell whether a loss function got these labels as its target."""
    return any(
        row.target_minimum is not None
        and leaf.minimum is not None
        and leaf.minimum <= row.target_minimum
        and row.target_maximum is not None
        and leaf.maximum is not None
        and row.target_maximum <= leaf.maximum
        for row in criteria
    )


def finding(
    read: Trace,
    key: str,
    *,
    title: str,
    message: str,
    evidence: list[Evidence],
    num_samples: int,
    confidence: Confidence = Confidence.CERTAIN,
) -> Finding:
    """Return the finding for one column of labels."""
    name = f"element {key} of the batch" if key.isdigit() else f"'{key}'"
    return DEGENERATE.finding(
        f"{message} They are {name}.",
        confidence=confidence,
        mechanism="The lowest loss belongs to one answer for all inputs. A model reaches it "
        "with its last bias alone, and nothing pushes it to look at the inputs.",
        location=location(read.setup.factory),
        evidence=[
            *evidence,
            Evidence("labels read", num_samples),
            Evidence("batches read", len(read.batches)),
        ],
        subject=key,
        title=title,
    )


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first; one step follows where labels look degenerate."""
    return (ReadBatches(num_batches=options.num_batches),)


probe = Probe(
    name="label-values",
    doc=__doc__,
    rules=(DEGENERATE,),
    examine=examine,
    experiments=experiments,
    options=Options,
)
