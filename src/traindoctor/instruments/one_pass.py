"""A loader and a pass over it, while they are watched: what becomes a row of the trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from traindoctor.trace import LoaderRow, PassRow, Place


@dataclass(slots=True, eq=False)
class Loader:
    """One loader's totals; `self` holds it no longer than its user does."""

    row: LoaderRow
    refers: Callable[[], Any]
    num_passes: int = 0
    num_open: int = 0
    num_evaluations: int = 0
    num_ended: int = 0
    num_fetched: int = 0
    num_repeats: int = 0
    num_trained: int = 0  # backward passes after its batches
    fetch_seconds: float = 0.0
    last_digest: str = ""

    def as_it_stands(self) -> LoaderRow:
        """Return it with its totals."""
        return replace(
            self.row,
            num_passes=self.num_passes,
            num_evaluations=self.num_evaluations,
            num_ended=self.num_ended,
            num_fetched=self.num_fetched,
            num_repeats=self.num_repeats,
            fetch_seconds=self.fetch_seconds,
        )

    @property
    def evaluates(self) -> bool:
        """Whether all that is known of it are passes in which nothing was trained."""
        return self.num_evaluations > 0 and self.num_trained == 0


@dataclass(slots=True, eq=False)
class Pass:
    """One pass while it goes on. `unused` are the numbers of batches fetched ahead of their use."""

    index: int
    loader: Loader
    number: int
    place: Place
    is_by_user: bool
    is_new: bool  # the first over this very loader
    started: float
    sampler_epoch: int | None = None
    lag: int = 0  # batches that whoever iterates keeps back
    is_bulk: bool = False  # several are fetched, then several are trained on
    last: float = 0.0
    num_batches: int = 0
    num_samples: int | None = 0
    size: int | None = None  # of its last batch
    last_batch: int | None = None  # its number in the run
    num_trained: int = 0
    num_compared: int = 0
    num_repeats: int = 0
    num_asked: int = 0
    asked_place: Place = Place()
    first_seconds: float = 0.0
    fetch_seconds: float = 0.0
    is_evaluation: bool = False
    has_ended: bool = False
    is_left: bool = False
    is_cut: bool = False
    digests: list[str] = field(default_factory=list)
    last_digest: str = ""
    order: str = ""
    unused: deque[int] = field(default_factory=deque)

    @property
    def is_over(self) -> bool:
        """Whether no more batches will come of it."""
        return self.has_ended or self.is_left or self.is_cut

    def row(self) -> PassRow:
        """Return it as it stands now."""
        return PassRow(
            index=self.index,
            loader=self.loader.row.index,
            number=self.number,
            place=self.place,
            is_by_user=self.is_by_user,
            sampler_epoch=self.sampler_epoch,
            num_batches=self.num_batches,
            num_samples=self.num_samples,
            last_batch=self.last_batch,
            num_trained=self.num_trained,
            is_evaluation=self.is_evaluation,
            has_ended=self.has_ended,
            is_left=self.is_left,
            is_cut=self.is_cut,
            num_asked_after_end=self.num_asked,
            asked_place=self.asked_place,
            first_seconds=self.first_seconds,
            fetch_seconds=self.fetch_seconds,
            seconds=self.last - self.started,
            num_compared=self.num_compared,
            num_repeats=self.num_repeats,
            digests=tuple(self.digests),
            order=self.order,
        )
