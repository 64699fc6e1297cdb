"""Records learning rate schedulers: how they are set, when they step, which rates they set."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from traindoctor.instruments.notes import notes_of
from traindoctor.instruments.order import Order, order_of
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.instruments.schedule import ScheduleSeen, max_rate, rates_of
from traindoctor.target.patches import Notes, replaced
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place, SchedulerRow

MOST_SCHEDULERS = 32
WRAPPER = "accelerate.scheduler"


class Schedulers:
    """All schedulers, in the order in which they are met."""

    def __init__(self, recorder: Recorder, order: Order) -> None:
        self.recorder, self.order = recorder, order
        self.seen: list[ScheduleSeen] = []
        self.num_building = 0  # constructors that run: what steps inside them is not the user's
        self.active: list[Any] = []  # schedulers that step, each inside the one before

    def find(self, scheduler: Any) -> ScheduleSeen | None:
        """Return what is known of a scheduler."""
        return next((seen for seen in self.seen if seen.scheduler() is scheduler), None)

    def meet(
        self, scheduler: Any, place: Place, is_built_in_run: bool = True
    ) -> ScheduleSeen | None:
        """Take in a scheduler, and those that it steps."""
        seen = self.find(scheduler)
        if seen is None and len(self.seen) < MOST_SCHEDULERS:
            seen = ScheduleSeen(scheduler, len(self.seen), place, is_built_in_run)
            self.seen.append(seen)
            self.order.ask()
            seen.takes(self.order.account(_unwrapped(scheduler.optimizer)))
        if seen is not None:
            for inner in getattr(scheduler, "_schedulers", ()):
                child = self.meet(inner, place, is_built_in_run)
                if child is not None:
                    child.parent = seen.index
        return seen

    def begins_step(
        self, scheduler: Any, frame: FrameType, place: Place, num_arguments: int
    ) -> ScheduleSeen | None:
        """Take in a step; return the scheduler's record where the step is the user's."""
        if self.num_building or self.active:
            return None
        seen = self.find(scheduler) or self.meet(scheduler, Place(), is_built_in_run=False)
        if seen is None or (seen.num_steps < 2 and _builds(frame, scheduler)):
            return None
        is_told = num_arguments > hasattr(scheduler, "patience")  # which is told a metric
        seen.is_wrapped = seen.is_wrapped or frame.f_globals.get("__name__") == WRAPPER
        seen.begins_step(scheduler, self.recorder.batch, place, is_told)
        return seen

    def rows(self) -> list[SchedulerRow]:
        """Return a row a scheduler."""
        return [seen.row() for seen in self.seen]


@contextmanager
def schedulers_seen(
    recorder: Recorder, known: Sequence[Any] = (), places: Mapping[int, Place] | None = None
) -> Iterator[None]:
    """Record schedulers and their steps while inside. Needs `order_seen`.

    Args:
        recorder: takes the rows.
        known: schedulers that were built before.
        places: where those were built, by `id`.
    """
    schedulers = Schedulers(recorder, order_of(recorder))
    notes = notes_of(recorder, "schedulers", "schedulers", schedulers.rows)
    with ExitStack() as stack:
        watched: set[type] = set()

        def watch(kind: type) -> None:
            """Replace the `step` of a class, once; those of its ancestors are replaced already."""
            if kind not in watched and "step" in vars(kind):
                watched.add(kind)
                stack.enter_context(replaced(kind, "step", _stepping(schedulers, notes)))

        for kind in _kinds():
            watch(kind)
        for kind in _builders():
            stack.enter_context(replaced(kind, "__init__", _building(schedulers, notes, watch)))
        for scheduler in known:
            place = (places or {}).get(id(scheduler), Place())
            notes(schedulers.meet, scheduler, place, False)
        stack.callback(notes.close)
        yield


def _stepping(schedulers: Schedulers, notes: Notes) -> Any:
    def make(original: Any) -> Any:
        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            number = len(args) + len(kwargs)
            seen = notes(lambda: schedulers.begins_step(self, sys._getframe(2), here(), number))
            schedulers.active.append(self)
            try:
                result = original(self, *args, **kwargs)
            finally:
                schedulers.active.pop()
            if seen is not None:
                notes(lambda: seen.sets(max_rate(rates_of(self))))
            return result

        return step

    return make


def _building(schedulers: Schedulers, notes: Notes, watch: Any) -> Any:
    def make(original: Any) -> Any:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            schedulers.num_building += 1
            try:
                original(self, *args, **kwargs)
            finally:
                schedulers.num_building -= 1
            notes(lambda: [watch(kind) for kind in type(self).__mro__])
            place = notes(lambda: user_place(builder_of(self, sys._getframe(2))))
            notes(schedulers.meet, self, place or Place())

        return init

    return make


def builder_of(built: object, frame: FrameType | None) -> FrameType | None:
    """Leave the constructors of an object, ours in their place included."""
    while frame is not None and frame.f_locals.get("self") is built:
        frame = frame.f_back
    return frame


def _kinds() -> list[type]:
    """Return every class of schedulers that there is."""
    from torch.optim.lr_scheduler import LRScheduler

    found: list[type] = [LRScheduler]
    for kind in found:
        more: list[type] = kind.__subclasses__()
        found += [inner for inner in more if inner not in found]
    return found


def _builders() -> list[type]:
    """Return the classes one of whose constructors every scheduler passes through."""
    from torch.optim import lr_scheduler

    return [
        lr_scheduler.LRScheduler,
        lr_scheduler.ReduceLROnPlateau,
        lr_scheduler.SequentialLR,
        lr_scheduler.ChainedScheduler,
    ]


def _builds(frame: FrameType | None, scheduler: Any) -> bool:
    """Tell whether the scheduler's own constructor is what runs."""
    while frame is not None:
        if frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is scheduler:
            return True
        frame = frame.f_back
    return False


def _unwrapped(optimizer: Any) -> Any:
    """Return the optimizer that steps inside accelerate's wrapper."""
    is_wrapper = type(optimizer).__module__.startswith("accelerate.")
    return optimizer.optimizer if is_wrapper else optimizer
