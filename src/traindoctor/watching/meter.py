"""Sums up every step of a run, from its first to its last, in bounded memory."""

from __future__ import annotations

from math import inf
from typing import Any

from traindoctor.trace import PulseRow
from traindoctor.trace.thinning import WHOLE, thinned

MOST_ROWS = 2048  # of one optimizer's pulses; then neighbours become one
MOST_FULL = 64  # pulses that wait to become rows


class _Pulse:
    """What came in since an optimizer's last step; with its end, and the next ones, a pulse.

    One is made in each step, so it has only what differs from these.
    """

    optimizer: int = 0
    first_step: int = 0
    last_step: int = 0
    num_batches: int = 0
    num_begun: int = 0
    num_new: int = 0
    num_samples: int | None = 0
    num_backwards: int = 0
    num_losses: int = 0  # finite ones
    total: float = 0.0  # of these
    minimum: float = inf
    maximum: float = -inf
    last: float | None = None
    num_not_finite: int = 0
    num_norms: int = 0
    num_bad_norms: int = 0
    norms: float = 0.0  # sum of the finite ones
    maximum_norm: float = -inf
    first_rates: tuple[float, ...] = ()
    last_rates: tuple[float, ...] = ()
    seconds: float = 0.0
    fetch_seconds: float = 0.0
    forward_seconds: float = 0.0
    backward_seconds: float = 0.0
    step_seconds: float = 0.0

    def add(self, later: _Pulse) -> None:
        """Take in the steps that follow."""
        self.last_step = later.last_step
        self.num_batches += later.num_batches
        self.num_begun += later.num_begun
        self.num_new += later.num_new
        self.num_samples = (
            None
            if self.num_samples is None or later.num_samples is None
            else self.num_samples + later.num_samples
        )
        self.num_backwards += later.num_backwards
        if later.num_losses:
            self.num_losses += later.num_losses
            self.total += later.total
            self.minimum = min(self.minimum, later.minimum)
            self.maximum = max(self.maximum, later.maximum)
            self.last = later.last
        self.num_not_finite += later.num_not_finite
        if later.num_norms:
            self.num_norms += later.num_norms
            self.num_bad_norms += later.num_bad_norms
            self.norms += later.norms
            self.maximum_norm = max(self.maximum_norm, later.maximum_norm)
        self.first_rates = self.first_rates or later.first_rates
        self.last_rates = later.last_rates or self.last_rates
        self.seconds += later.seconds
        self.fetch_seconds += later.fetch_seconds
        self.forward_seconds += later.forward_seconds
        self.backward_seconds += later.backward_seconds
        self.step_seconds += later.step_seconds

    def row(self) -> PulseRow:
        """Return it as a row of the trace."""
        num_norms = self.num_norms - self.num_bad_norms
        return PulseRow(
            optimizer=self.optimizer,
            first_step=self.first_step,
            last_step=self.last_step,
            num_batches=self.num_batches,
            num_begun=self.num_begun,
            num_new=self.num_new,
            num_samples=self.num_samples,
            num_backwards=self.num_backwards,
            loss=self.total / self.num_losses if self.num_losses else None,
            minimum_loss=self.minimum if self.num_losses else None,
            maximum_loss=self.maximum if self.num_losses else None,
            last_loss=self.last,
            num_losses_not_finite=self.num_not_finite,
            gradient_norm=self.norms / num_norms if num_norms else None,
            maximum_gradient_norm=self.maximum_norm if num_norms else None,
            num_norms=self.num_norms,
            num_norms_not_finite=self.num_bad_norms,
            first_learning_rates=self.first_rates,
            last_learning_rates=self.last_rates,
            seconds=self.seconds,
            fetch_seconds=self.fetch_seconds,
            forward_seconds=self.forward_seconds,
            backward_seconds=self.backward_seconds,
            step_seconds=self.step_seconds,
        )


class Meter:
    """What came in since an optimizer's last step, and the pulses of its steps so far.

    Attributes:
        since: what came in since the last step.
        num_steps: by optimizer.
    """

    def __init__(self) -> None:
        self.since = _Pulse()
        self.num_steps: dict[int, int] = {}
        self._rows: dict[int, list[PulseRow]] = {}
        self._open: dict[int, _Pulse] = {}  # the pulse that is not yet full, by optimizer
        self._full: list[_Pulse] = []  # to make rows of many at once lets a step cost little
        self._stride: dict[int, int] = {}  # steps that make a row
        self._last_end: float | None = None

    def batch(
        self, size: int | None, seconds: float, *, begins: bool = False, is_new: bool = False
    ) -> None:
        """Take in a batch that was fetched; the first of a pass begins it, over a new loader."""
        since = self.since
        since.num_batches += 1
        since.num_begun += begins
        since.num_new += begins and is_new
        since.fetch_seconds += seconds
        known = size is not None and since.num_samples is not None
        since.num_samples = since.num_samples + size if known else None  # type: ignore[operator]

    def backward(self, loss: float | None, seconds: float) -> None:
        """Take in a backward pass; a loss that is no single number is None."""
        since = self.since
        since.num_backwards += 1
        since.backward_seconds += seconds
        if loss is None:
            return
        if loss - loss != 0:
            since.num_not_finite += 1
            return
        since.num_losses += 1
        since.total += loss
        since.last = loss
        if loss < since.minimum:
            since.minimum = loss
        if loss > since.maximum:
            since.maximum = loss

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
        step = self.since
        self.since = _Pulse()
        number = self.num_steps.get(optimizer, 0)
        self.num_steps[optimizer] = number + 1
        step.optimizer, step.first_step, step.last_step = optimizer, number, number
        step.first_rates = step.last_rates = rates
        step.seconds = 0.0 if self._last_end is None else now - self._last_end
        step.step_seconds = seconds
        self._last_end = now
        if norm is not None:
            step.num_norms = 1
            if norm - norm == 0:
                step.norms = step.maximum_norm = norm
            else:
                step.num_bad_norms = 1
        self._put(step)

    def all_rows(self) -> tuple[PulseRow, ...]:
        """Return the pulses of all optimizers, the open ones included."""
        self._sum_up()
        found: list[PulseRow] = []
        for number in sorted(self.num_steps):
            found += self._rows.get(number, ())
            found += [self._open[number].row()] if number in self._open else []
        return tuple(found)

    def _put(self, step: _Pulse) -> None:
        """Add a step to its optimizer's pulse."""
        optimizer = step.optimizer
        pulse = self._open.pop(optimizer, None)
        if pulse is None:
            pulse = step
        else:
            pulse.add(step)
        num_steps = pulse.last_step - pulse.first_step + 1
        if pulse.last_step < WHOLE or num_steps >= self._stride.get(optimizer, 1):
            self._full.append(pulse)
            if len(self._full) >= MOST_FULL:
                self._sum_up()
        else:
            self._open[optimizer] = pulse

    def _sum_up(self) -> None:
        """Make rows of the full pulses."""
        full, self._full = self._full, []
        for pulse in full:
            rows: list[Any] = self._rows.setdefault(pulse.optimizer, [])
            rows.append(pulse.row())
            if len(rows) > MOST_ROWS:
                self._rows[pulse.optimizer] = thinned(rows)
                self._stride[pulse.optimizer] = 2 * self._stride.get(pulse.optimizer, 1)
