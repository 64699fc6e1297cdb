"""What one learning rate scheduler is set to, and did."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any

from traindoctor.instruments.account import MOST_WINDOWS, Account
from traindoctor.trace import Place, SchedulerRow

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


class ScheduleSeen:
    """What one scheduler did."""

    def __init__(self, scheduler: Any, index: int, place: Place, is_built_in_run: bool) -> None:
        self.scheduler = weakref.ref(scheduler)
        self.index, self.place, self.is_built_in_run = index, place, is_built_in_run
        self.class_name = type(scheduler).__name__
        self.parent: int | None = None
        self.is_wrapped = False
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
            is_wrapped=self.is_wrapped,
            gaps=tuple(sorted(self.gaps.items())),
            base_rate=self.base_rate,
            rates=tuple(self.rates),
            last_rate=self.last,
            lowest_rate=self.lowest,
            highest_rate=self.highest,
        )


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
