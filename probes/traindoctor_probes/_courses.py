"""What a run's pulses say of its course: losses and gradient norms of one optimizer, in order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from traindoctor.probing import Series
from traindoctor.trace import PulseRow


@dataclass(frozen=True, slots=True)
class Course:
    """The pulses of one optimizer that have a loss, and that loss; infinite where it was no number.

    A pulse of many steps counts once: a long run's later ones are means already.
    """

    rows: tuple[PulseRow, ...]
    losses: tuple[float, ...]

    @property
    def steps(self) -> tuple[float, ...]:
        """The last step of each pulse."""
        return tuple(float(row.last_step) for row in self.rows)

    def level(self, first: int, last: int | None = None) -> float:
        """Return the median loss of a stretch of pulses."""
        return statistics.median(self.losses[first:last])

    def series(self, name: str) -> Series:
        """Return the curve, as it is plotted."""
        return Series(name, self.steps, self.losses)


def course_of(pulses: Sequence[PulseRow], optimizer: int) -> Course:
    """Return the course of one optimizer."""
    rows = [row for row in pulses if row.optimizer == optimizer and _loss(row) is not None]
    return Course(tuple(rows), tuple(_loss(row) or 0.0 for row in rows))


def only_course(pulses: Sequence[PulseRow]) -> Course | None:
    """Return the course of the only optimizer, or None where several train.

    Losses that alternate, a generator's and its critic's, rise and fall with each other.
    """
    optimizers = {row.optimizer for row in pulses}
    return course_of(pulses, optimizers.pop()) if len(optimizers) == 1 else None


def _loss(row: PulseRow) -> float | None:
    return math.inf if row.num_losses_not_finite else row.loss
