"""Sums a run's steps up, optimizer by optimizer: what each step was made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from traindoctor.trace.rows import BackwardRow, BatchRow, PulseRow, StepRow

__all__ = ["pulses_of"]


def pulses_of(
    steps: Sequence[StepRow],
    backwards: Sequence[BackwardRow],
    batches: Sequence[BatchRow] = (),
) -> tuple[PulseRow, ...]:
    """Return one pulse a step, in the order in which the steps were taken.

    A step's backward passes are those since this optimizer's last step that no step of another
    optimizer came after. Where there are none, because several optimizers step on one pass, the
    last ones that this optimizer has not used yet are its own.
    """
    latest: dict[int, StepRow] = {}  # by optimizer
    numbers: Counter[int] = Counter()
    pulses: list[PulseRow] = []
    for step in steps:
        before = latest.get(step.optimizer)
        pulses.append(_pulse(step, before, numbers[step.optimizer], backwards, batches))
        latest[step.optimizer] = step
        numbers[step.optimizer] += 1
    return tuple(pulses)


def _pulse(
    step: StepRow,
    before: StepRow | None,
    number: int,
    backwards: Sequence[BackwardRow],
    batches: Sequence[BatchRow],
) -> PulseRow:
    used = _used(step, before, backwards)
    losses = [row.loss for row in used if row.loss is not None]
    finite = [loss for loss in losses if math.isfinite(loss)]
    first = before.batch if before else -1
    fetched = [row for row in batches if first < row.index <= step.batch]
    norm = step.gradient_norm
    is_finite = norm is not None and math.isfinite(norm)
    return PulseRow(
        optimizer=step.optimizer,
        first_step=number,
        last_step=number,
        num_batches=len(fetched),
        num_samples=_total(fetched),
        num_backwards=len(used),
        loss=sum(finite) / len(finite) if finite else None,
        minimum_loss=min(finite, default=None),
        maximum_loss=max(finite, default=None),
        last_loss=losses[-1] if losses else None,
        num_losses_not_finite=len(losses) - len(finite),
        gradient_norm=norm if is_finite else None,
        maximum_gradient_norm=norm if is_finite else None,
        num_norms=int(norm is not None),
        num_norms_not_finite=int(norm is not None and not is_finite),
        first_learning_rates=step.learning_rates,
        last_learning_rates=step.learning_rates,
        seconds=max(step.ended - before.ended, 0.0) if before else 0.0,
        fetch_seconds=sum(row.fetch_seconds for row in fetched),
        backward_seconds=sum(row.seconds for row in used),
        step_seconds=step.seconds,
    )


def _used(
    step: StepRow, before: StepRow | None, backwards: Sequence[BackwardRow]
) -> list[BackwardRow]:
    """Return the backward passes that a step used; `step` of a pass counts the steps before it."""
    since = before.index + 1 if before else 0
    waiting = [row for row in backwards if since <= row.step <= step.index]
    last = max((row.step for row in waiting), default=0)
    return [row for row in waiting if row.step == last]


def _total(batches: Sequence[BatchRow]) -> int | None:
    sizes = [row.size for row in batches if row.size is not None]
    return sum(sizes) if len(sizes) == len(batches) else None
