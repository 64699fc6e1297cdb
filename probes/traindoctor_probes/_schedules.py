"""What learning rate schedulers are set to do, and at what pace a loop steps them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from traindoctor.trace import SchedulerRow, Trace
from traindoctor_probes._handling import window_of

EPOCH, STEP, BATCH = "an epoch", "an optimizer step", "a batch"
TOTALS = ("T_max", "total_iters", "total_steps", "num_training_steps")
FEWEST_GAPS = 3  # between a scheduler's steps, to speak of a pace
FEWEST_RATES = 6  # after its first steps, to speak of a law
HIGHEST_BASE = 0.1  # that a lambda can be meant to give shares of
STRAIGHT = 1e-3  # by which equal rises of a rate may differ, relative to them
SEVERAL = 5  # epochs, from which on one less is the same plan
ENDS_AT_NOTHING = 0.01  # of the rate: what a schedule comes down to


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a training is meant to be, and how often its scheduler steps."""

    num_epochs: int
    num_batches: int  # of an epoch
    window: int  # batches between two optimizer steps
    pace: str

    @property
    def num_steps(self) -> int:
        """Optimizer steps in all."""
        return math.ceil(self.num_batches / self.window) * self.num_epochs

    @property
    def num_scheduler_steps(self) -> int:
        """The scheduler's own."""
        return self.lengths(self.pace)[0]

    def lengths(self, unit: str) -> tuple[int, ...]:
        """Return how long a schedule in some unit would be, and what rounding makes of it."""
        batches, epochs = self.num_batches * self.num_epochs, self.num_epochs
        whole = self.num_batches // self.window * epochs, batches // self.window
        return {
            EPOCH: (epochs, epochs - 1) if epochs >= SEVERAL else (epochs,),
            STEP: (self.num_steps, *whole),
            BATCH: (batches,),
        }[unit]


def pace_of(run: Trace, row: SchedulerRow) -> str | None:
    """Return how often a scheduler was stepped; None where there is no telling."""
    gaps = dict(row.gaps)
    total = sum(gaps.values())
    if not row.num_steps or row.num_told:
        return None
    if run.setup.kind == "script":
        return _watched_pace(row, gaps)
    in_epochs, num_epochs = steps_by_epoch(run, row), len({b.epoch for b in run.batches})
    if not in_epochs:
        return None
    if total and gaps.get(1, 0) >= 0.8 * total and row.num_steps > num_epochs:
        return STEP
    if row.num_steps >= 0.9 * len(run.batches) > 1.5 * row.num_optimizer_steps:
        return BATCH
    usual = max(in_epochs)
    is_once = num_epochs - 1 <= row.num_steps <= num_epochs
    return EPOCH if is_once and usual >= 2 and all(gap >= 0.5 * usual for gap in gaps) else None


def _watched_pace(row: SchedulerRow, gaps: Mapping[int, int]) -> str | None:
    """Return the pace in a run of which the epochs are not known: by the gaps alone."""
    total, shortest = sum(gaps.values()), min(gaps, default=0)
    if total < FEWEST_GAPS:
        return None
    if gaps.get(1, 0) >= 0.8 * total:
        return STEP
    if gaps.get(0, 0) >= 0.4 * total:
        return BATCH
    return EPOCH if shortest >= 2 and max(gaps) <= 1.5 * shortest else None


def steps_by_epoch(run: Trace, row: SchedulerRow) -> list[int]:
    """Return how often its optimizer stepped in each epoch."""
    epochs = {batch.index: batch.epoch for batch in run.batches}
    steps = [step for step in run.steps if step.optimizer == row.optimizer]
    return list(Counter(epochs[step.batch] for step in steps if step.batch in epochs).values())


def plans(run: Trace, row: SchedulerRow, pace: str) -> list[Plan]:
    """Return how long the training is meant to be: as told, and as the observed run was."""
    if run.setup.kind == "script":
        return _watched_plans(run, row, pace)
    served = list(Counter(batch.epoch for batch in run.batches).values())
    in_epochs = steps_by_epoch(run, row)
    if not served or not in_epochs:
        return []
    epochs = {batch.index: batch.epoch for batch in run.batches}
    steps = [step for step in run.steps if step.optimizer == row.optimizer]
    window = window_of(steps, epochs) or max(1, round(max(served) / max(in_epochs)))
    setup, found = run.setup, []
    if setup.epochs and setup.num_batches:
        found.append(Plan(setup.epochs, setup.num_batches, window, pace))
    if row.is_built_in_run and len(served) > 1:
        found.append(Plan(len(served), max(served), window, pace))
    return found


def _watched_plans(run: Trace, row: SchedulerRow, pace: str) -> list[Plan]:
    """Return how long a training was that was watched to its end.

    Its epochs are known where the scheduler stepped with them; else by a fact of the run.
    """
    steps, epochs = row.num_optimizer_steps, run.facts.get("num_epochs") or 0
    if not run.facts.get("ended"):
        return []
    if pace == EPOCH:
        return [Plan(row.num_steps, max(1, round(steps / row.num_steps)), 1, pace)]
    if epochs < 2 or not steps:
        return []
    if pace == STEP:
        return [Plan(epochs, max(1, round(steps / epochs)), 1, pace)]
    window = max(1, round(row.num_steps / steps))
    return [Plan(epochs, max(1, round(row.num_steps / epochs)), window, pace)]


def total_of(row: SchedulerRow) -> int | None:
    """Return the steps that a schedule takes to its end; None of one that has none."""
    if row.class_name in ("ConstantLR", "LinearLR") and not is_descent(row):
        return None
    return next((int(row.settings[name]) for name in TOTALS if row.settings.get(name)), None)


def is_descent(row: SchedulerRow) -> bool:
    """Tell a linear schedule that goes down from one that warms up."""
    end, start = row.settings.get("end_factor", 1.0), row.settings.get("start_factor", 1.0)
    return bool(end < start)


def end_factor(row: SchedulerRow) -> float | None:
    """Return what a schedule comes down to, as a share of its highest rate."""
    base = highest(row)
    if row.class_name == "CosineAnnealingLR" and base:
        return float(row.settings.get("eta_min", 0.0)) / base
    if row.class_name == "LinearLR":
        return float(row.settings.get("end_factor", 1.0))
    if row.class_name in ("PolynomialLR", "OneCycleLR") or "num_training_steps" in row.settings:
        return 0.0
    return None


def highest(row: SchedulerRow) -> float:
    """Return the highest rate that is known of a schedule."""
    known = (row.base_rate, row.highest_rate, row.settings.get("max_lr"))
    return max((float(rate) for rate in known if rate), default=0.0)


def decay_of(row: SchedulerRow) -> Callable[[int], float] | None:
    """Return the factor after so many steps of a schedule that only ever goes down."""
    gamma = float(row.settings.get("gamma", 0.1))
    if row.class_name == "StepLR" and row.settings.get("step_size"):
        return lambda t: gamma ** (t // int(row.settings["step_size"]))
    if row.class_name == "MultiStepLR" and row.settings.get("milestones"):
        return lambda t: gamma ** sum(t >= stone for stone in row.settings["milestones"])
    ratio = gamma if row.class_name == "ExponentialLR" else constant_ratio(row.rates)
    return None if ratio is None else lambda t: ratio**t


def constant_ratio(rates: Sequence[float]) -> float | None:
    """Return by what each rate is multiplied to give the next, if it is always the same."""
    if len(rates) < FEWEST_RATES or min(rates) <= 0 or rates[-1] >= rates[0]:
        return None
    ratios = [after / before for before, after in pairwise(rates)]
    return ratios[0] if max(ratios) - min(ratios) < 1e-6 else None


def warm_up_of(row: SchedulerRow, rows: Sequence[SchedulerRow]) -> tuple[int, float] | None:
    """Return how many steps a schedule's warm-up takes, and the factor that it begins with."""
    if row.class_name == "LinearLR" and not is_descent(row):
        return int(row.settings.get("total_iters", 5)), float(row.settings.get("start_factor", 1))
    if row.class_name == "SequentialLR":
        stones = row.settings.get("_milestones", ())
        inner = [r for r in rows if r.parent == row.index and r.class_name == "LinearLR"]
        first = next((warm_up_of(r, rows) for r in inner if not is_descent(r)), None)
        return (int(stones[0]), first[1]) if stones and first else None
    if row.class_name != "LambdaLR":
        return None
    if row.settings.get("num_warmup_steps"):
        return int(row.settings["num_warmup_steps"]), 0.0
    return _straight_rise(row)


def _straight_rise(row: SchedulerRow) -> tuple[int, float] | None:
    """Return the same of a lambda whose first rates rise by equal amounts.

    A lambda over a rate of 1 or so gives rates, and no shares of one.
    """
    rates, base = row.rates, row.base_rate
    if not base or base > HIGHEST_BASE or len(rates) < FEWEST_RATES:
        return None
    rises = [after - before for before, after in pairwise(rates)]
    rise = sum(rises) / len(rises)
    if min(rises) <= 0 or max(rises) - min(rises) > STRAIGHT * rise:
        return None
    return round((base - rates[0]) / rise), rates[0] / base
