"""Iterates the setup's own loader, with its own workers, and leaves the model alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.instruments.loaders import Loaders, loaders_seen, watched
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.loaders import as_dataloader
from traindoctor.trace import Place, Trace


@dataclass(frozen=True)
class WatchLoader(Experiment):
    """Up to `num_passes` over the loader, of at most so many batches and seconds together.

    Tables: batches, loaders, passes, and workers where there are two or more. A loader that is its
    own iterator, which can be read once, is not iterated: its first batches are those that the lab
    has kept.
    """

    num_batches: int = 32
    num_passes: int = 2
    max_seconds: float = 4.0

    name: ClassVar[str] = "watch-loader"
    cost: ClassVar[int] = 8

    def run(self, lab: Lab) -> Trace:
        """Return the tables."""
        recorder = Recorder(clock=lab.clock)
        start = lab.clock()
        with loaders_seen(recorder, keeps_all=True) as seen:
            for number in range(self.num_passes):
                is_whole = self._read(lab, seen, start + self.max_seconds)
                lab.on_progress(number + 1, self.num_passes, "passes over the loader")
                if not is_whole or lab.clock() - start > self.max_seconds:
                    break
        return recorder.trace(setup=lab.anatomy.facts)

    def _read(self, lab: Lab, seen: Loaders, deadline: float) -> bool:
        """Read one pass; tell whether another one makes sense."""
        try:
            iterator, is_kept = self._iterator(lab, seen)
            for _ in range(self.num_batches):
                if lab.clock() > deadline or next(iterator, None) is None:
                    break
        except Exception:  # the loader's own exceptions are other probes' business
            return False
        return not is_kept

    def _iterator(self, lab: Lab, seen: Loaders) -> tuple[Iterator[Any], bool]:
        """Return a new pass over the loader, and whether it is over batches that were kept."""
        loader: Any = lab.setup.loader
        if as_dataloader(loader) is not None:
            return iter(loader), False
        iterator = iter(loader)
        is_kept = iterator is loader
        if is_kept:
            iterator = (item.batch for item in lab.batches(self.num_batches))
        on = seen.passes.begin(loader, Place(), is_by_user=False)
        return watched(iterator, on, seen), is_kept
