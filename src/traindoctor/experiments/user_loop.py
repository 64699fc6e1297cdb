"""Runs the user's own `train_loop`, bounded, as it stands."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.experiments.lab import Lab
from traindoctor.instruments.one_pass import Pass
from traindoctor.instruments.passes import Passes
from traindoctor.instruments.recorder import Recorder, Stopped
from traindoctor.target.calling import call_by_name
from traindoctor.target.usercode import is_user_file, user_place
from traindoctor.trace import LossRow

if TYPE_CHECKING:
    import torch

MAX_EPOCHS = 2


class EnoughSeen(BaseException):
    """Ends a user's loop from inside its loader. No `except Exception` of theirs catches it."""


class BoundedLoader:
    """A loader as a smaller data set: each epoch ends after `num_batches` batches.

    Everything else is the user's loader's own (`dataset`, `batch_size`, …).

    Args:
        lab: has the user's loader.
        recorder: takes the batches that are served.
        num_batches: an epoch's length.
        iterate: how the user's loader is iterated.
        instead: batches to serve in place of the loader's; the loop ends when they do.
        deadline: on the lab's clock; the loop ends with the batch at which it has passed.
        is_light: batches are counted, and their tensors not looked at.
    """

    def __init__(
        self,
        lab: Lab,
        recorder: Recorder,
        num_batches: int,
        iterate: Callable[[Any], Any] = iter,
        instead: Iterator[Any] | None = None,
        deadline: float = math.inf,
        is_light: bool = False,
    ) -> None:
        self._lab, self._recorder, self._num_batches = lab, recorder, num_batches
        self._iterate, self._instead = iterate, instead
        self._deadline = deadline
        self._epochs = self._served = 0
        self.passes = Passes(recorder, keeps_all=True, is_light=is_light)

    def __len__(self) -> int:
        loader: Any = self._lab.setup.loader
        return min(len(loader), self._num_batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lab.setup.loader, name)

    def __iter__(self) -> Iterator[Any]:
        if self._epochs >= MAX_EPOCHS and self._served >= self._num_batches:
            raise EnoughSeen
        self._epochs += 1
        frame = sys._getframe(1)
        while frame.f_code.co_filename == __file__ and frame.f_back is not None:
            frame = frame.f_back
        place = user_place(frame)
        self._recorder.facts.setdefault("loop_places", []).append(place)
        is_by_user = is_user_file(frame.f_code.co_filename)
        on = self.passes.begin(self._lab.setup.loader, place, is_by_user)
        return _Epoch(self._batches(on), self._recorder, self.passes, on)

    def _batches(self, on: Pass) -> Iterator[Any]:
        most, clock = MAX_EPOCHS * self._num_batches, self._lab.clock
        if self._instead is not None:
            for batch in self._instead:  # which outlives a loop that takes one batch a time
                yield batch
            raise EnoughSeen
        start = clock()
        for batch in self._source():
            if self._served >= most or self._lab.clock() > self._deadline:
                raise EnoughSeen
            self._served += 1
            self.passes.fetched(on, batch, clock() - start)
            self._lab.on_progress(self._served, most, "batches of your own loop")
            yield batch
            start = clock()
        self.passes.over(on, is_cut=on.num_batches == self._num_batches)

    def _source(self) -> Iterator[Any]:
        """Iterate the user's loader anew; one that is its own iterator serves kept batches."""
        iterator = self._iterate(self._lab.setup.loader)
        if iterator is self._lab.setup.loader:
            yield from (item.batch for item in self._lab.batches(self._num_batches))
            return
        for _, batch in zip(range(self._num_batches), iterator, strict=False):
            yield batch


class _Epoch:
    """One pass over the loader, which notes who asks it for more when it is over."""

    def __init__(
        self, batches: Iterator[Any], recorder: Recorder, passes: Passes, on: Pass
    ) -> None:
        self._batches, self._recorder = batches, recorder
        self._passes, self._on = passes, on
        self._is_over = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._is_over:
            place = user_place(sys._getframe(1))
            self._recorder.facts.setdefault("asked_after_end", []).append(place)
            self._passes.asked(self._on, place)
            raise StopIteration
        try:
            return next(self._batches)
        except StopIteration:
            self._is_over = True
            raise

    def __del__(self) -> None:
        self._passes.left(self._on)


def run_user_loop(
    lab: Lab,
    recorder: Recorder,
    num_batches: int,
    *,
    optimizers: tuple[torch.optim.Optimizer, ...] | None = None,
    instead: Iterator[Any] | None = None,
    deadline: float = math.inf,
    is_light: bool = False,
    epochs: int = MAX_EPOCHS,
) -> None:
    """Run the setup's `train_loop` for at most two epochs of `num_batches`, then end it.

    `optimizers` stand in for the setup's, and `instead` for its loader's batches. At the
    `deadline` it ends where the next batch is fetched; with `is_light` batches are only counted.
    `epochs` is what a loop that asks is told.
    """
    setup, optimizers = lab.setup, optimizers or lab.optimizers()
    assert setup.train_loop is not None
    with bounded(lab, recorder, num_batches, instead, deadline, is_light) as loader:
        available = {
            "model": setup.model,
            "loader": loader,
            "optimizer": optimizers[0] if len(optimizers) == 1 else optimizers,
            "scheduler": setup.scheduler,
            "scaler": setup.scaler,
            "loss_fn": setup.loss_fn,
            "validation_loader": setup.validation_loader,
            "epochs": epochs,
            "device": setup.device,
            "accumulation_steps": setup.accumulation_steps,
            "max_grad_norm": setup.max_grad_norm,
        }
        try:
            with recorder.watching("train_loop"):
                call_by_name(setup.train_loop, available)
        except (Stopped, EnoughSeen):
            pass
    recorder.losses += [
        LossRow(step=row.step, batch=row.batch, value=row.loss, source="backward", place=row.place)
        for row in recorder.backwards
        if row.loss is not None
    ]
    if recorder.exceptions and recorder.num_passes > len(recorder.backwards):
        recorder.losses += _unused(recorder)


def _unused(recorder: Recorder) -> list[LossRow]:
    """Return the loss whose backward pass raised."""
    loss = recorder.last_loss
    if loss is None or loss.numel() != 1:
        return []
    value = float(loss.detach())
    return [LossRow(step=recorder.step, batch=recorder.batch, value=value, source="backward")]


@contextmanager
def bounded(
    lab: Lab,
    recorder: Recorder,
    num_batches: int,
    instead: Iterator[Any] | None = None,
    deadline: float = math.inf,
    is_light: bool = False,
) -> Iterator[BoundedLoader]:
    """Bound the setup's loader, also where the loop reaches for it by another name."""
    from torch.utils.data import DataLoader

    original = DataLoader.__iter__
    user_loader = lab.setup.loader

    def iterate(loader: Any) -> Any:
        return original(loader) if isinstance(loader, DataLoader) else iter(loader)

    served = BoundedLoader(lab, recorder, num_batches, iterate, instead, deadline, is_light)

    def patched(self: Any) -> Any:
        if self is user_loader:
            return iter(served)
        return original(self) if deadline == math.inf else _until(lab, deadline, original(self))

    DataLoader.__iter__ = patched  # type: ignore[method-assign]  # taken back below
    try:
        yield served
    finally:
        DataLoader.__iter__ = original  # type: ignore[method-assign]
        served.passes.finish()


def _until(lab: Lab, deadline: float, batches: Iterator[Any]) -> Iterator[Any]:
    """Serve another loader's batches, a validation's say, and end the loop at the deadline."""
    for batch in batches:
        if lab.clock() > deadline:
            raise EnoughSeen
        yield batch
