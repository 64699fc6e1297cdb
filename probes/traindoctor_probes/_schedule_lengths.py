"""Ways in which the length of a learning rate schedule does not fit the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from traindoctor.probing import Confidence, Severity
from traindoctor.probing.wording import counted, figure
from traindoctor.trace import SchedulerRow, Trace
from traindoctor_probes._schedules import (
    BATCH,
    ENDS_AT_NOTHING,
    EPOCH,
    STEP,
    Plan,
    decay_of,
    end_factor,
    highest,
    total_of,
    warm_up_of,
)

GONE = 1.001e-3  # a decayed rate that trains no more: three times a tenth
SOON = 0.5  # of the training, by which a rate may not have gone
STILL_COLD = 0.05  # of the rate, which a warm-up has to exceed before the training ends
FEW = 20  # scheduler steps: a training shorter than that is a trial
MANY = 4  # scheduler steps an epoch, beside which a milestone meant in epochs comes at once


@dataclass(frozen=True, slots=True)
class Case:
    """What is wrong with a schedule's length."""

    how: str
    message: str
    mechanism: str
    lost: float  # share of the training that has next to no rate
    is_zero: bool
    confidence: Confidence = Confidence.CERTAIN
    severity: Severity | None = None  # None: the rule's own


def wrong_unit(row: SchedulerRow, found: Sequence[Plan]) -> Case | None:
    """Return the case of a schedule whose length is right in another unit than its steps'."""
    total, end = total_of(row), end_factor(row)
    if total is None:
        return None
    for plan in found:
        if plan.num_batches < 2 or plan.num_steps < 2 * plan.num_epochs:
            continue
        fits = [unit for unit in (EPOCH, STEP, BATCH) if total in plan.lengths(unit)]
        if plan.pace in fits or not fits:
            continue
        steps = plan.num_scheduler_steps
        lengths = (
            f"{row.class_name} is set to {total} steps, which is one for each "
            f"{fits[0].partition(' ')[2]} of {_training(plan)}. It is stepped once "
            f"{_per(plan.pace)}"
        )
        if total > steps:
            return Case(
                how=f"stepped once {_per(plan.pace)}, and planned for {total} steps",
                message=f"{lengths}, {counted(steps, 'time')} in all: {steps / total:.1%} of the "
                f"schedule. The rate was {_course(row)}.",
                mechanism="A scheduler counts its own steps. The training ends when the schedule "
                "has hardly begun.",
                lost=0.0,
                is_zero=False,
            )
        is_zero = end is not None and end <= ENDS_AT_NOTHING
        left = 1 - total / steps
        return Case(
            how=f"stepped once {_per(plan.pace)}, and over after {total} of {steps} steps",
            message=f"{lengths}, {counted(steps, 'time')} in all, and comes to its end after "
            f"{total / steps:.1%} of the training. The rate was {_course(row)}.",
            mechanism="A scheduler counts its own steps. It has come to its end when the training "
            "has hardly begun; from then on the rate stays there, or swings up and down again.",
            lost=left,
            is_zero=is_zero,
        )
    return None


def decayed(row: SchedulerRow, found: Sequence[Plan]) -> Case | None:
    """Return the case of a rate that has shrunk to nothing by the middle of the training."""
    decay = decay_of(row)
    for plan in found:
        early = int(SOON * plan.num_scheduler_steps)
        if decay is None or plan.pace == EPOCH or decay(early) > GONE:
            continue
        gone = next(t for t in range(early + 1) if decay(t) <= GONE)
        share = gone / plan.num_scheduler_steps
        return Case(
            how=f"stepped once {_per(plan.pace)}, and has decayed to nothing after {gone} steps",
            message=f"{row.class_name} ({settings_text(row)}) is stepped once {_per(plan.pace)}, "
            f"{counted(plan.num_scheduler_steps, 'time')} in {_training(plan)}. After {gone} of "
            f"them, {share:.1%} of the training, the rate is {figure(decay(gone))} of its start, "
            f"and it goes on falling. It was {_course(row)}.",
            mechanism="The decay is multiplied in at each step of the scheduler. Meant once an "
            "epoch, it is applied as often as an epoch has batches.",
            lost=1 - share,
            is_zero=True,
            confidence=Confidence.LIKELY,
        )
    return None


def rushed(row: SchedulerRow, found: Sequence[Plan]) -> Case | None:
    """Return the case of milestones that count epochs, on a scheduler that steps more often."""
    stones = row.settings.get("milestones") if row.class_name == "MultiStepLR" else None
    for plan in found:
        steps = plan.num_scheduler_steps
        often = steps >= MANY * plan.num_epochs and plan.pace != EPOCH
        if not stones or not often or max(stones) > plan.num_epochs:
            continue
        return Case(
            how=f"stepped once {_per(plan.pace)}, and past all its milestones after {max(stones)} "
            f"of {steps} steps",
            message=f"The milestones {', '.join(map(str, stones))} all lie within the number of "
            f"epochs of {_training(plan)}. {row.class_name} is stepped once {_per(plan.pace)}, "
            f"{counted(steps, 'time')} in all, and passes the last of them after "
            f"{max(stones) / steps:.1%} of the training.",
            mechanism="A scheduler counts its own steps. Milestones meant in epochs are reached "
            "within as many batches, and the rest of the training runs at the lowest rate.",
            lost=0.0,
            is_zero=False,
            confidence=Confidence.LIKELY,
        )
    return None


def endless_warm_up(run: Trace, row: SchedulerRow, found: Sequence[Plan]) -> Case | None:
    """Return the case of a warm-up that is still near its beginning when the training ends."""
    warm_up = warm_up_of(row, run.schedulers)
    for plan in found:
        steps = plan.num_scheduler_steps
        if warm_up is None or steps >= warm_up[0] or (plan.pace != EPOCH and steps < FEW):
            continue
        length, start = warm_up
        reached = start + (1 - start) * steps / length
        seen = (row.last_rate or 0.0) / (highest(row) or 1.0)
        if max(reached, seen) > STILL_COLD:
            continue
        return Case(
            how=f"still warming up when the training ends, at {reached:.1%} of the rate",
            message=f"The warm-up takes {length} steps of {row.class_name}, which is stepped once "
            f"{_per(plan.pace)}: {counted(steps, 'time')} in {_training(plan)}. The rate gets to "
            f"{reached:.1%} of {figure(highest(row))}; it was {_course(row)}.",
            mechanism="The rate rises by the same amount at each step of the scheduler, and the "
            "training ends long before it has risen.",
            lost=1.0,
            is_zero=True,
            confidence=Confidence.CERTAIN if plan.pace == EPOCH else Confidence.LIKELY,
            # Fewer batches than that may be all that was handed over for a trial.
            severity=None if plan.pace == EPOCH else Severity.WARNING,
        )
    return None


def _training(plan: Plan) -> str:
    epochs, batches = counted(plan.num_epochs, "epoch"), counted(plan.num_batches, "batch")
    if plan.num_epochs == 1:
        return f"a training of {counted(plan.num_steps, 'step')}"
    return f"a training of {epochs} of {batches}"


def _per(pace: str) -> str:
    return {EPOCH: "an epoch", STEP: "at each optimizer step", BATCH: "at each batch"}[pace]


def settings_text(row: SchedulerRow) -> str:
    shown = {name.strip("_"): value for name, value in row.settings.items()}
    return ", ".join(
        f"{name}={figure(value, 6) if isinstance(value, float) else value}"
        for name, value in shown.items()
    )


def _course(row: SchedulerRow) -> str:
    rates = [figure(rate) for rate in row.rates]
    if len(set(rates)) < 2:
        seen = counted(len(rates), "step")
        return f"{figure(row.highest_rate)} throughout the {seen} that were seen"
    shown = rates if len(rates) <= 6 else [*rates[:4], "…", rates[-1]]
    return f"{', '.join(shown)} after the first {counted(len(rates), 'step')} of the scheduler"
