"""Sums up every step of a run, from its first to its last, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from traindoctor.trace import PulseRow
from traindoctor.trace.thinning import WHOLE, merged, thinned

MOST_ROWS = 2048  # of one optimizer's pulses; then neighbours become one
MOST_NEW = 64  # steps that wait to be summed up


@dataclass(slots=True)
class _Losses:
    """The finite losses since the last step, summed up."""

    number: int = 0
    total: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    last: float | None = None

    def add(self, loss: float) -> None:
        self.number += 1
        self.total += loss
        self.minimum = loss if self.minimum is None else min(self.minimum, loss)
        self.maximum = loss if self.maximum is None else max(self.maximum, loss)
        self.last = loss


class Meter:
    """What came in since an optimizer's last step, and the pulses of its steps so far."""

    def __init__(self) -> None:
        self.rows: dict[int, list[PulseRow]] = {}
        self.open: dict[int, PulseRow] = {}  # the pulse that is not yet full, by optimizer
        self._new: list[dict[str, Any]] = []  # steps that are in neither: a pulse's columns
        self.stride: dict[int, int] = {}  # steps that make a row
        self.num_steps: dict[int, int] = {}
        self.num_batches = self.num_backwards = self.num_not_finite = 0
        self.num_samples: int | None = 0
        self.losses = _Losses()
        self.fetch_seconds = self.forward_seconds = self.backward_seconds = 0.0
        self.last_end: float | None = None

    def batch(self, size: int | None, seconds: float) -> None:
        """Take in a batch that was fetched."""
        self.num_batches += 1
        self.fetch_seconds += seconds
        self.num_samples = (
            None if size is None or self.num_samples is None else (self.num_samples + size)
        )

    def backward(self, loss: float | None, seconds: float) -> None:
        """Take in a backward pass; a loss that is no single number is None."""
        self.num_backwards += 1
        self.backward_seconds += seconds
        if loss is None:
            return
        if loss - loss != 0:
            self.num_not_finite += 1
        else:
            self.losses.add(loss)

    def step(
        self,
        optimizer: int,
        now: float,
        *,
        rates: tuple[float, ...] = (),
        norm: float | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Take in a step that has just ended; `norm` is None where it was not measured."""
        number = self.num_steps.get(optimizer, 0)
        self.num_steps[optimizer] = number + 1
        self._new.append(self._columns(optimizer, number, now, rates, norm, seconds))
        self._forget(now)
        if len(self._new) >= MOST_NEW:
            self._sum_up()

    def all_rows(self) -> tuple[PulseRow, ...]:
        """Return the pulses of all optimizers, the open ones included."""
        self._sum_up()
        found: list[PulseRow] = []
        for number in sorted(self.num_steps):
            found += self.rows.get(number, ())
            found += [self.open[number]] if number in self.open else []
        return tuple(found)

    def _sum_up(self) -> None:
        """Take the new steps into the pulses: many at once, for a step is to cost little."""
        new, self._new = self._new, []
        for columns in new:
            row = PulseRow(**columns)
            before = self.open.pop(row.optimizer, None)
            row = row if before is None else merged(before, row)
            if row.last_step < WHOLE or row.num_steps >= self.stride.get(row.optimizer, 1):
                self._add(row.optimizer, row)
            else:
                self.open[row.optimizer] = row

    def _columns(
        self,
        optimizer: int,
        number: int,
        now: float,
        rates: tuple[float, ...],
        norm: float | None,
        seconds: float,
    ) -> dict[str, Any]:
        """Return what a `PulseRow` is made of: made now, it would cost more than all else."""
        losses = self.losses
        is_finite = norm is not None and norm - norm == 0
        known = norm if is_finite else None
        return {
            "optimizer": optimizer,
            "first_step": number,
            "last_step": number,
            "num_batches": self.num_batches,
            "num_samples": self.num_samples,
            "num_backwards": self.num_backwards,
            "loss": losses.total / losses.number if losses.number else None,
            "minimum_loss": losses.minimum,
            "maximum_loss": losses.maximum,
            "last_loss": losses.last,
            "num_losses_not_finite": self.num_not_finite,
            "gradient_norm": known,
            "maximum_gradient_norm": known,
            "num_norms": int(norm is not None),
            "num_norms_not_finite": int(norm is not None and not is_finite),
            "first_learning_rates": rates,
            "last_learning_rates": rates,
            "seconds": 0.0 if self.last_end is None else now - self.last_end,
            "fetch_seconds": self.fetch_seconds,
            "forward_seconds": self.forward_seconds,
            "backward_seconds": self.backward_seconds,
            "step_seconds": seconds,
        }

    def _forget(self, now: float) -> None:
        self.last_end = now
        self.num_batches = self.num_backwards = self.num_not_finite = 0
        self.num_samples, self.losses = 0, _Losses()
        self.fetch_seconds = self.forward_seconds = self.backward_seconds = 0.0

    def _add(self, optimizer: int, row: PulseRow) -> None:
        rows: list[Any] = self.rows.setdefault(optimizer, [])
        rows.append(row)
        if len(rows) > MOST_ROWS:
            self.rows[optimizer] = thinned(rows)
            self.stride[optimizer] = 2 * self.stride.get(optimizer, 1)
