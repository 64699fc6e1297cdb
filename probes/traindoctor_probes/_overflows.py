"""Tells steps so far beyond the weights' size that they lead out of the range of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from traindoctor.trace import OptimizerRow, Trace

ALL_OF_THEM = 0.9  # of the weights after the first step: they are little else than that step
GREW = 1e3  # times their size after it


@dataclass(frozen=True, slots=True)
class Overflow:
    """A loss that is not finite after steps of an optimizer whose rate is to blame.

    Attributes:
        optimizer: as it was built; of one that wraps the one that steps, the outer.
        rate: its largest learning rate.
        gradient: RMS of what the first step was taken with.
        sizes: RMS of the weights after each step before that loss.
        losses: up to that loss.
    """

    optimizer: OptimizerRow
    rate: float
    gradient: float
    sizes: tuple[float, ...]
    losses: tuple[float, ...]


def overflow(run: Trace) -> Overflow | None:
    """Return what drove a loss out of range, where it is the size of the steps.

    The first step leaves little of the weights but itself, and is larger than its gradient, so
    that a large gradient is not the reason; each later step makes the weights larger yet. A weight
    decay that takes more than all of a weight away does that by itself.
    """
    values = tuple(row.value for row in run.losses)
    bad = next((n for n, value in enumerate(values) if not math.isfinite(value)), 0)
    optimizer, steps = _only_optimizer(run), range(run.losses[bad].step if bad else 0)
    if optimizer is None or len(steps) < 2:
        return None
    sizes = tuple(
        _rms(run, ((r.parameter, r.weight_rms) for r in run.updates if r.step == n)) for n in steps
    )
    moved = _rms(run, ((r.parameter, r.update_rms) for r in run.updates if r.step == 0))
    gradient = _rms(run, ((r.parameter, r.rms) for r in run.gradients if r.step == 0))
    is_thrown = moved >= ALL_OF_THEM * sizes[0] and moved >= gradient > 0
    grows = sizes[-1] >= GREW * sizes[0] and all(map(math.isfinite, sizes))
    rate = max(optimizer.learning_rates, default=0.0)
    decays = rate * max(optimizer.weight_decays, default=0.0) > 1
    if decays or not (is_thrown and grows):
        return None
    return Overflow(optimizer, rate, gradient, sizes, values[: bad + 1])


def _only_optimizer(run: Trace) -> OptimizerRow | None:
    """Return the only one that steps, or the one around it, which holds and is told the same."""
    stepped = {row.optimizer for row in run.steps}
    own = [row for row in run.optimizers if row.index in stepped]
    if len(own) != 1:
        return None
    alike = own[0].num_held, own[0].learning_rates
    return next(row for row in run.optimizers if (row.num_held, row.learning_rates) == alike)


def _rms(run: Trace, rows: Iterable[tuple[str, float]]) -> float:
    """Return the RMS over all elements of the parameters in some rows."""
    sizes = {row.name: row.num_elements for row in run.parameters}
    known = [(sizes[name], value) for name, value in rows if name in sizes]
    total = sum(size for size, _ in known)
    # A power raises where a product is infinite.
    return math.sqrt(sum(size * value * value for size, value in known) / total) if total else 0.0
