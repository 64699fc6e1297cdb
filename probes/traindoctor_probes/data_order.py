"""Is the order of the training data one that a model should learn from?

## What it measures
The labels of the batches in the order in which they come, where a data set with indices is read
by torch's sequential sampler; if the first batches hold one class alone, the labels of samples
from all over the data set as well. And whether passes over the loader begin with the same batches.

## Why it matters
Each step on sorted data pulls all weights towards one class. The model forgets what it learned of
the class before, batch norm keeps the statistics of the last class, and the loss saws.

## Known limits
Judged by labels that are classes, one a sample. Silent for token labels, time series and
measured targets, for streams, and for samplers of the user's own. The same order in each epoch,
without being sorted, is told as information: who shuffled before the data set was built has that.

## References
Bottou, "Curiously Fast Convergence of some Stochastic Gradient Descent Algorithms", 2009.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ShortRun, SpreadSamples
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import BatchRow, LoaderRow, Trace
from traindoctor_probes._loaders import (
    batches_of,
    had,
    label_leaf,
    passes_over,
    place_of,
    trained_on,
)

LEAST_SAMPLES = 32
CHANCE = 1e-6  # that a random order would look as sorted
MIXED = 0.5  # of the other classes: batches that hold more of them on average are a mix

NOT_SHUFFLED = Rule(
    code="TD504",
    name="not-shuffled",
    severity=Severity.WARNING,
    title="{title}",
    what="The training data comes sorted by class, or in the same order in each epoch.",
    why="Steps on one class at a time undo one another; batch statistics are those of one class.",
    known_limits="Judged by class labels under torch's samplers that do not shuffle. The same "
    "order in each epoch, where it is not sorted, is information.",
    remedies=(
        Remedy(
            "Shuffle in the loader",
            recommended=True,
            pros="Another order in each epoch.",
            before="loader = DataLoader(dataset, batch_size=32)",
            after="loader = DataLoader(dataset, batch_size=32, shuffle=True)",
        ),
        Remedy(
            "Shuffle once, with a seed, where the data set is built",
            pros="Costs nothing later on, and keeps reads in order.",
            cons="The same order in each epoch.",
            after="order = torch.randperm(len(dataset), generator=generator)\n"
            "dataset = Subset(dataset, order.tolist())",
        ),
    ),
    explains=("TD507", "TD717"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the order of each loader that is trained on."""
    run = ask(ShortRun())
    for loader in trained_on(run):
        if not loader.is_in_order or (loader.num_batches or 0) < 2:
            continue
        passes = passes_over(run, loader)
        rows = batches_of(run, loader, passes[0].number) if passes else []
        labels = labels_of(rows)
        if len(set(labels)) > 1:
            if is_sorted(labels) and not is_mix(rows):
                yield sorted_by_class(run, loader, rows, labels)
            elif is_same_each_pass(run, loader) and len(labels) >= LEAST_SAMPLES:
                yield same_order(run, loader)
        elif len(labels) >= LEAST_SAMPLES and is_same_order(run, loader):
            spread = had(ask, SpreadSamples())
            found = labels_of(spread.batches) if spread else []
            if len(set(found)) > 1 and (is_sorted(found) or is_monotone(found)):
                yield sorted_by_class(run, loader, rows, found, is_spread=True)


def labels_of(rows: Sequence[BatchRow]) -> list[float]:
    """Return the labels of batches in order, if each has one class a sample; else none."""
    leaves = [label_leaf(row) for row in rows]
    labels = [value for leaf in leaves if leaf for value in leaf.values]
    is_integer = all(leaf and not leaf.dtype.startswith(("float", "bfloat")) for leaf in leaves)
    are_classes = is_integer or set(labels) <= {0.0, 1.0}
    return labels if None not in leaves and are_classes else []


def is_sorted(labels: Sequence[float]) -> bool:
    """Tell whether equal labels stand together, each class in one place, and not by chance."""
    counts = Counter(labels)
    num_runs = 1 + sum(a != b for a, b in itertools.pairwise(labels))
    is_classes = len(labels) >= LEAST_SAMPLES and len(counts) <= len(labels) / 2
    return is_classes and num_runs == len(counts) and chance(counts) <= CHANCE


def is_monotone(labels: Sequence[float]) -> bool:
    """Tell whether labels, of which there are about as many as classes, only rise or only fall."""
    pairs = list(itertools.pairwise(labels))
    is_one_way = all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs)
    return (
        is_one_way and len(labels) >= LEAST_SAMPLES and chance_of_rising(Counter(labels)) < CHANCE
    )


def chance(counts: Counter[float]) -> float:
    """Return the share of orders in which equal labels stand together: C! prod(n_c!) / n!."""
    ways = math.lgamma(len(counts) + 1) + sum(math.lgamma(n + 1) for n in counts.values())
    return math.exp(min(0.0, ways - math.lgamma(counts.total() + 1)))


def chance_of_rising(counts: Counter[float]) -> float:
    """Return the share of orders in which labels only rise: prod(n_c!) / n!."""
    ways = sum(math.lgamma(n + 1) for n in counts.values())
    return math.exp(ways - math.lgamma(counts.total() + 1))


def is_mix(rows: Sequence[BatchRow]) -> bool:
    """Tell whether batches hold most classes all the same, being large beside the data set."""
    each = [set(leaf.values) for row in rows if (leaf := label_leaf(row))]
    others = len(set().union(*each)) - 1
    return sum(len(classes) - 1 for classes in each) > MIXED * others * len(each)


def is_same_order(run: Trace, loader: LoaderRow) -> bool:
    """Tell whether no pass is known to begin otherwise than the first."""
    passes = [one for one in passes_over(run, loader) if one.num_batches > 1]
    return all(one.digests[:2] == passes[0].digests[:2] for one in passes)


def is_same_each_pass(run: Trace, loader: LoaderRow) -> bool:
    """Tell whether two passes or more were seen, and began with the same batches."""
    passes = [one for one in passes_over(run, loader) if one.num_batches > 1 and one.digests[0]]
    return len(passes) > 1 and is_same_order(run, loader)


def sorted_by_class(
    run: Trace,
    loader: LoaderRow,
    rows: list[BatchRow],
    labels: list[float],
    is_spread: bool = False,
) -> Finding:
    """Return the finding for data that is sorted: by its batches, or samples from all over it."""
    counts = Counter(labels)
    single = [row for row in rows if (leaf := label_leaf(row)) and len(set(leaf.values)) == 1]
    told = (
        f"Of {len(labels)} samples from all over the data set those of a class stand together, "
        f"{len(counts)} classes one after the other."
        if is_spread
        else f"Their {len(labels)} labels are of {len(counts)} classes, one after the other."
    )
    return NOT_SHUFFLED.finding(
        f"{len(single)} of {counted(len(rows), 'batch')} in a row hold one class alone. {told}",
        mechanism=f"{loader.dataset_class} is read from its first index to its last "
        f"({loader.sampler_class}), and its samples are stored class by class.",
        location=first_location([place_of(run, loader)]),
        evidence=[
            Evidence("batches of one class", len(single), 0),
            Evidence("batches read", len(rows)),
            Evidence("changes of class from sample to sample", len(counts) - 1, expected(counts)),
            Evidence("sampler", loader.sampler_class, "RandomSampler"),
        ],
        title="The training data is sorted by class, and is not shuffled",
    )


def expected(counts: Counter[float]) -> int:
    """Return how often the class changes from sample to sample in a random order."""
    total = counts.total()
    same = sum(n * (n - 1) for n in counts.values()) / (total * (total - 1))
    return round((total - 1) * (1 - same))


def same_order(run: Trace, loader: LoaderRow) -> Finding:
    """Return the finding for an order that is mixed, and the same in each pass."""
    num_passes = len(passes_over(run, loader))
    return NOT_SHUFFLED.finding(
        f"{counted(num_passes, 'pass')} over {loader.dataset_class} began with the same batches. "
        f"The classes are mixed in them.",
        severity=Severity.INFO,
        mechanism="A fixed order is no fault by itself; a new one in each epoch mostly helps.",
        location=first_location([place_of(run, loader)]),
        evidence=[
            Evidence("different orders", 1, num_passes),
            Evidence("sampler", loader.sampler_class, "RandomSampler"),
        ],
        title="The order of the training data is the same in each epoch",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; samples of all the data follow where one class comes first."""
    return (ShortRun(),)


probe = Probe(
    name="data-order",
    doc=__doc__,
    rules=(NOT_SHUFFLED,),
    examine=examine,
    experiments=experiments,
)
