"""What a run's pulses say of its course: losses and gradient norms of one optimizer, in order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from traindoctor.probing import Series
from traindoctor.trace import PulseRow, Trace


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

    def without_jumps(self, window: int) -> Course:
        """Return it with each rise taken back that came with other data.

        That is where a new loader is first read, and where any pass begins if passes are long: a
        data set may have been changed between two. Levels of up to `window` pulses are compared.
        """
        begun = [n for n, row in enumerate(self.rows) if row.num_begun and n]
        if len(begun) * 2 * window > len(self.rows):
            begun = [n for n in begun if self.rows[n].num_new]
        losses, rise = list(self.losses), 1.0
        for last, cut, end in zip([0, *begun], begun, [*begun[1:], len(losses)], strict=False):
            before = self.level(max(cut - window, last), cut)
            jump = self.level(cut, min(cut + window, end)) / before
            rise *= jump if 1 < jump < math.inf else 1.0
            losses[cut:end] = [loss / rise for loss in self.losses[cut:end]]
        return Course(self.rows, tuple(losses))

    def series(self, name: str) -> Series:
        """Return the curve, as it is plotted."""
        return Series(name, self.steps, self.losses)


def courses(run: Trace) -> list[Course]:
    """Return the course of each optimizer.

    LBFGS is left out: its losses are those of trial points, and it may leave a batch far off.
    """
    trying = {row.index for row in run.optimizers if row.class_name == "LBFGS"}
    return [
        _course(run.pulses, optimizer)
        for optimizer in sorted({row.optimizer for row in run.pulses} - trying)
    ]


def only_course(run: Trace) -> Course | None:
    """Return the course of the only optimizer, or None where several train.

    Losses that alternate, a generator's and its critic's, rise and fall with each other.
    """
    found = courses(run)
    return found[0] if len(found) == len({row.optimizer for row in run.pulses}) == 1 else None


def _course(pulses: Sequence[PulseRow], optimizer: int) -> Course:
    rows = [row for row in pulses if row.optimizer == optimizer and _loss(row) is not None]
    return Course(tuple(rows), tuple(_loss(row) or 0.0 for row in rows))


def _loss(row: PulseRow) -> float | None:
    return math.inf if row.num_losses_not_finite else row.loss
