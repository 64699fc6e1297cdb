"""What probes ask of the tables of loaders, passes and workers."""

from __future__ import annotations

from collections.abc import Iterable

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment
from traindoctor.probing import Ask
from traindoctor.trace import BatchRow, LeafRow, LoaderRow, PassRow, Place, Trace, WorkerRow

TARGET_NAMES = ("labels", "label", "targets", "target", "y")


def had(ask: Ask, experiment: Experiment) -> Trace | None:
    """Return an experiment's trace, or None where it cannot be had: a watched run is as it is."""
    try:
        return ask(experiment)
    except ExperimentFailed:
        return None


def trained_on(trace: Trace) -> list[LoaderRow]:
    """Return the loaders over which there was a pass other than for evaluation."""
    return [row for row in trace.loaders if row.num_passes > row.num_evaluations]


def passes_over(trace: Trace, loader: LoaderRow) -> list[PassRow]:
    """Return the kept passes over a loader that were not for evaluation."""
    return [row for row in trace.passes if row.loader == loader.index and not row.is_evaluation]


def batches_of(trace: Trace, loader: LoaderRow, number: int | None = None) -> list[BatchRow]:
    """Return the batches of a loader, or of one pass over it, in order."""
    return [
        row for row in trace.batches if row.loader == loader.index and number in (None, row.epoch)
    ]


def place_of(trace: Trace, loader: LoaderRow) -> Place:
    """Return where a loader is built, else the factory."""
    setup = trace.setup
    return next((p for p in (loader.place, setup.loader_place, setup.factory) if p), Place())


def label_leaf(batch: BatchRow) -> LeafRow | None:
    """Return the labels of a batch where they are one number a sample: by name, else the last."""
    named = [leaf for leaf in batch.leaves if leaf.key in TARGET_NAMES]
    if not named and batch.kind == "sequence" and len(batch.leaves) > 1:
        named = [batch.leaves[-1]]
    return next((leaf for leaf in named if leaf.values), None)


def by_worker(trace: Trace, loader: LoaderRow, number: int) -> dict[str, list[WorkerRow]]:
    """Return the rows of one pass's workers by generator; under "" the workers themselves."""
    found: dict[str, list[WorkerRow]] = {}
    for row in trace.workers:
        if (row.loader, row.number) == (loader.index, number):
            found.setdefault(row.generator, []).append(row)
    return found


def is_repeated(rows: Iterable[WorkerRow]) -> bool:
    """Tell whether workers draw the same numbers: equal states at the start and after two samples.

    A generator that does not move is not used, and one that is set by the sample's index is in
    another state in each worker.
    """
    states = [row.states for row in rows]
    if len(states) < 2 or any(len(each) < 3 for each in states):
        return False
    first, *others = states
    return len(set(first[:3])) == 3 and any(other[:3] == first[:3] for other in others)


def groups(digests: Iterable[str], size: int) -> list[tuple[str, ...]]:
    """Return what each round of workers gave: consecutive batches, as many as there are workers."""
    found = list(digests)
    return [tuple(found[i : i + size]) for i in range(0, len(found) - size + 1, size)]


def is_same_from_each(digests: Iterable[str], num_workers: int, least: int = 2) -> bool:
    """Tell whether all workers gave the same in each round, in at least so many different ones."""
    rounds = groups(digests, num_workers)
    is_same = all(all(each) and len(set(each)) == 1 for each in rounds)
    return is_same and len({each[0] for each in rounds}) >= least
