"""Tells steps so far beyond the weights' size that nothing of these is left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from traindoctor.trace import OptimizerRow, Trace

ALL_OF_THEM = 0.9  # of the weights after the first step: they are little else than that step
GREW = 1e3  # times their size after it
FAR = 0.5  # RMS of the first step: no layer that is built by its fan-in begins as large
RISE = 1.5  # of the loss over its start


@dataclass(frozen=True, slots=True)
class Overflow:
    """A loss that rises, or is not finite, after steps of an optimizer whose rate is to blame.

    Attributes:
        optimizer: as it was built; of one that wraps the one that steps, the outer.
        rate: its largest learning rate.
        gradient: RMS of what the first step was taken with.
        sizes: RMS of the weights after each step before that loss, or of all that were seen.
        losses: up to that loss, or all.
    """

    optimizer: OptimizerRow
    rate: float
    gradient: float
    sizes: tuple[float, ...]
    losses: tuple[float, ...]


def overflow(run: Trace) -> Overflow | None:
    """Return what drove a loss out of range, where it is the size of the steps.

    Each step after the first makes the weights larger yet.
    """
    values = tuple(row.value for row in run.losses)
    bad = next((n for n, value in enumerate(values) if not math.isfinite(value)), 0)
    thrown = _thrown(run, values[: bad + 1], run.losses[bad].step if bad else 0)
    if thrown is None:
        return None
    grows = thrown.sizes[-1] >= GREW * thrown.sizes[0] and all(map(math.isfinite, thrown.sizes))
    return thrown if grows else None


def overthrow(run: Trace) -> Overflow | None:
    """Return the steps of which the first leaves nothing of a network, where its loss then rises.

    A table, or a layer alone, may begin near zero and be meant to leave it at once.
    """
    values = tuple(row.value for row in run.losses)
    thrown = _thrown(run, values, len({row.step for row in run.updates}))
    if thrown is None or not all(map(math.isfinite, values)):
        return None
    matrices = {row.name for row in run.parameters if len(row.shape) > 1 and row.weight_rms}
    first = [row for row in run.updates if row.step == 0 and row.parameter in matrices]
    replaced = [row for row in first if row.update_rms >= ALL_OF_THEM * row.weight_rms]
    is_far = len(replaced) > 1 and all(row.update_rms >= FAR for row in replaced)
    return thrown if is_far and max(values) >= RISE * values[0] > 0 else None


def _thrown(run: Trace, losses: tuple[float, ...], num_steps: int) -> Overflow | None:
    """Return the steps of the only optimizer, if the first leaves little of the weights but itself.

    It is larger than its gradient, so that a large gradient is not the reason. A weight decay that
    takes more than all of a weight away does that by itself.
    """
    optimizer = _only_optimizer(run)
    if optimizer is None or num_steps < 2:
        return None
    sizes = tuple(
        _rms(run, ((r.parameter, r.weight_rms) for r in run.updates if r.step == n))
        for n in range(num_steps)
    )
    moved = _rms(run, ((r.parameter, r.update_rms) for r in run.updates if r.step == 0))
    gradient = _rms(run, ((r.parameter, r.rms) for r in run.gradients if r.step == 0))
    is_thrown = moved >= ALL_OF_THEM * sizes[0] and moved >= gradient > 0
    rate = max(optimizer.learning_rates, default=0.0)
    decays = rate * max(optimizer.weight_decays, default=0.0) > 1
    return Overflow(optimizer, rate, gradient, sizes, losses) if is_thrown and not decays else None


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
