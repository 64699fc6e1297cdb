"""Records learning rate schedulers: how they are set, when they step, which rates they set."""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from traindoctor.instruments.account import MOST_WINDOWS, Account
from traindoctor.instruments.notes import notes_of
from traindoctor.instruments.order import Order, order_of
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.target.patches import Notes, replaced
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place, SchedulerRow

MOST_SCHEDULERS = 32
MOST_RATES = 64
SETTINGS = (
    "T_max",
    "T_0",
    "T_mult",
    "eta_min",
    "step_size",
    "gamma",
    "milestones",
    "_milestones",
    "total_iters",
    "start_factor",
    "end_factor",
    "factor",
    "power",
    "total_steps",
    "patience",
)


class _Seen:
    """What one scheduler did."""

    def __init__(self, scheduler: Any, index: int, place: Place, is_built_in_run: bool) -> None:
        self.scheduler = weakref.ref(scheduler)
        self.index, self.place, self.is_built_in_run = index, place, is_built_in_run
        self.class_name = type(scheduler).__name__
        self.parent: int | None = None
        self.account: Account | None = None
        self.settings = settings_of(scheduler)
        self.position = 0
        self.num_steps = self.num_before = self.num_ahead = self.num_at_place = 0
        self.num_told = 0
        self.attempts_at_birth = self.attempts_at_step = 0
        self.gaps: Counter[int] = Counter()
        self.step_place = Place()
        self.base_rate = max_rate(getattr(scheduler, "base_lrs", None) or rates_of(scheduler))
        self.rates: list[float] = []
        self.last = self.lowest = self.highest = max_rate(rates_of(scheduler))

    def takes(self, account: Account) -> None:
        """Take in whose rates it sets."""
        self.account = account
        self.attempts_at_birth = self.attempts_at_step = account.num_attempts

    def begins_step(self, scheduler: Any, batch: int, place: Place, is_told: bool) -> None:
        """Take in a step of the user's; `is_told` the epoch whose rate it is to set."""
        assert self.account is not None
        attempts = self.account.num_attempts
        if not self.num_steps:
            self.position = max(int(scheduler.last_epoch), 0)
            self.step_place = place
        else:
            gap = attempts - self.attempts_at_step
            if gap in self.gaps or len(self.gaps) < MOST_WINDOWS:
                self.gaps[gap] += 1
        self.attempts_at_step = attempts
        self.num_steps += 1
        self.num_told += is_told
        self.num_before += attempts == 0
        self.num_ahead += self.account.batch < batch
        self.num_at_place += place == self.step_place

    def sets(self, rate: float | None) -> None:
        """Take in the rate that its step has set."""
        if rate is None:
            return
        self.last = rate
        self.lowest = rate if self.lowest is None else min(rate, self.lowest)
        self.highest = rate if self.highest is None else max(rate, self.highest)
        if len(self.rates) < MOST_RATES:
            self.rates.append(rate)

    def row(self) -> SchedulerRow:
        """Return the sums."""
        account = self.account
        return SchedulerRow(
            index=self.index,
            class_name=self.class_name,
            optimizer=account.number if account else None,
            place=self.place,
            is_built_in_run=self.is_built_in_run,
            parent=self.parent,
            settings=self.settings,
            position=self.position,
            num_steps=self.num_steps,
            num_told=self.num_told,
            num_optimizer_steps=account.num_attempts - self.attempts_at_birth if account else 0,
            num_before=self.num_before,
            num_ahead=self.num_ahead,
            step_place=self.step_place,
            num_at_place=self.num_at_place,
            gaps=tuple(sorted(self.gaps.items())),
            base_rate=self.base_rate,
            rates=tuple(self.rates),
            last_rate=self.last,
            lowest_rate=self.lowest,
            highest_rate=self.highest,
        )


class Schedulers:
    """All schedulers, in the order in which they are met."""

    def __init__(self, recorder: Recorder, order: Order) -> None:
        self.recorder, self.order = recorder, order
        self.seen: list[_Seen] = []
        self.num_building = 0  # constructors that run: what steps inside them is not the user's
        self.active: list[Any] = []  # schedulers that step, each inside the one before

    def find(self, scheduler: Any) -> _Seen | None:
        """Return what is known of a scheduler."""
        return next((seen for seen in self.seen if seen.scheduler() is scheduler), None)

    def meet(self, scheduler: Any, place: Place, is_built_in_run: bool = True) -> _Seen | None:
        """Take in a scheduler, and those that it steps."""
        seen = self.find(scheduler)
        if seen is None and len(self.seen) < MOST_SCHEDULERS:
            seen = _Seen(scheduler, len(self.seen), place, is_built_in_run)
            self.seen.append(seen)
            seen.takes(self.order.account(_unwrapped(scheduler.optimizer)))
        if seen is not None:
            for inner in getattr(scheduler, "_schedulers", ()):
                child = self.meet(inner, place, is_built_in_run)
                if child is not None:
                    child.parent = seen.index
        return seen

    def begins_step(
        self, scheduler: Any, frame: FrameType, place: Place, num_arguments: int
    ) -> _Seen | None:
        """Take in a step; return the scheduler's record where the step is the user's."""
        if self.num_building or self.active:
            return None
        seen = self.find(scheduler) or self.meet(scheduler, Place(), is_built_in_run=False)
        if seen is None or (seen.num_steps < 2 and _builds(frame, scheduler)):
            return None
        is_told = num_arguments > hasattr(scheduler, "patience")  # which is told a metric
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


def rates_of(scheduler: Any) -> list[Any]:
    """Return the rates of a scheduler's optimizer, by group."""
    return [group["lr"] for group in scheduler.optimizer.param_groups if "lr" in group]


def max_rate(rates: Sequence[Any]) -> float | None:
    """Return the largest rate; tensors on an accelerator are left where they are."""
    here_now = [rate for rate in rates if getattr(rate, "is_cpu", True)]
    return max((float(rate) for rate in here_now), default=None)


def settings_of(scheduler: Any) -> dict[str, Any]:
    """Return the numbers that a scheduler is set by, those of a `partial` as lambda included."""
    lambdas = getattr(scheduler, "lr_lambdas", None) or [None]
    given = {**vars(scheduler), **(getattr(lambdas[0], "keywords", None) or {})}
    found: dict[str, Any] = {
        name: value
        for name in (*SETTINGS, "num_warmup_steps", "num_training_steps")
        if isinstance(value := given.get(name), int | float) and not isinstance(value, bool)
    }
    for name in ("milestones", "_milestones"):
        if isinstance(given.get(name), Counter):
            found[name] = tuple(sorted(given[name].elements()))
        elif isinstance(given.get(name), list):
            found[name] = tuple(given[name])
    phases = given.get("_schedule_phases")
    if phases:  # of OneCycleLR, which keeps its peak in the optimizer
        found["num_warmup_steps"] = float(phases[0]["end_step"])
        found["max_lr"] = max(float(group["max_lr"]) for group in scheduler.optimizer.param_groups)
    return found
