"""How fast does a loader give batches, and how fast would it with other workers?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.target.loaders import as_dataloader
from traindoctor.trace import Trace

MOST_WORKERS = 8
TIMEOUT = 20.0  # seconds for one batch of workers


@dataclass(frozen=True)
class LoaderSpeed(Experiment):
    """The seconds of a batch when nothing else is done, as the loader is and with more workers.

    Facts: `batch_seconds`; `other_workers`, tried beside the loader's own, and their
    `other_seconds`; `again_seconds`, of the same samples read a second time in this process, which
    a data set that keeps what it has read gives at once. None where it could not be had.
    """

    num_batches: int = 12
    max_seconds: float = 2.5  # for each of the three

    name: ClassVar[str] = "loader-speed"
    cost: ClassVar[int] = 12

    def run(self, lab: Lab) -> Trace:
        """Return the facts."""
        loader: Any = as_dataloader(lab.setup.loader)
        facts: dict[str, Any] = {
            "batch_seconds": None,
            "other_workers": None,
            "other_seconds": None,
            "again_seconds": None,
        }
        if loader is not None:
            workers = loader.num_workers
            facts["batch_seconds"] = self._time(lab, loader, workers)
            other = _other_number(workers)
            if other is not None:
                facts["other_workers"] = other
                facts["other_seconds"] = self._time(lab, loader, other)
            if workers == 0:
                facts["again_seconds"] = self._time_again(lab, loader)
        return Trace(setup=lab.anatomy.facts, facts=facts)

    def _time(self, lab: Lab, loader: Any, workers: int) -> float | None:
        """Return the mean seconds between batches, the first of each worker left out."""
        try:
            iterator = iter(loader if workers == loader.num_workers else _twin(loader, workers))
            return self._mean(lab, iterator, max(1, workers))
        except Exception:  # what works without workers need not work with them
            return None

    def _mean(self, lab: Lab, iterator: Iterator[Any], num_first: int) -> float | None:
        for _ in range(num_first):
            next(iterator, None)
        start = lab.clock()
        for number in range(self.num_batches):
            if next(iterator, None) is None:
                return (lab.clock() - start) / number if number else None
            if lab.clock() - start > self.max_seconds:
                return (lab.clock() - start) / (number + 1)
        return (lab.clock() - start) / self.num_batches

    def _time_again(self, lab: Lab, loader: Any) -> float | None:
        """Return the seconds that a batch takes whose samples were read just before."""
        try:
            indices = range(min(len(loader.dataset), loader.batch_size or 1))
            for turn in range(2):
                start = lab.clock()
                samples = [loader.dataset[index] for index in indices]
                if loader.batch_size is not None:
                    loader.collate_fn(samples)
                if turn:
                    return lab.clock() - start
        except Exception:  # a stream, or a data set with other indices
            return None
        return None


def _other_number(workers: int) -> int | None:
    """Return the number of workers to compare with: as many as there are processors."""
    most = min(os.cpu_count() or 1, MOST_WORKERS)
    return most if most > max(workers, 1) else None


def _twin(loader: Any, workers: int) -> Any:
    """Return a loader over the same data in the same way, with other workers."""
    from torch.utils.data import DataLoader, IterableDataset

    shared: dict[str, Any] = {
        "num_workers": workers,
        "collate_fn": loader.collate_fn,
        "worker_init_fn": loader.worker_init_fn,
        "multiprocessing_context": loader.multiprocessing_context,
        "timeout": TIMEOUT,
    }
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        return DataLoader(
            loader.dataset, batch_size=loader.batch_size, drop_last=loader.drop_last, **shared
        )
    return DataLoader(loader.dataset, batch_sampler=loader.batch_sampler, **shared)
