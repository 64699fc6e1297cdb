"""Reads a loss curve over one batch: did it reach its floor, is it on the way, does it move?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from traindoctor.experiments.floors import Floor

__all__ = ["noise_of", "outcome", "settled"]

LEARNED_SHARE = 0.1  # of the way from the start to the floor that may be left
MOVED_SHARE = 0.1  # of that way that must have been gone to speak of learning
FLAT_SHARE = 0.01  # of that way: less is no movement
BEYOND_NOISE = 4.0  # standard deviations


def outcome(
    *,
    trials: Sequence[float],
    losses: Sequence[float],
    floor: Floor,
    target: float | None = None,
    after: float | None = None,
) -> dict[str, Any]:
    """Judge a curve: learned, not learned, or neither can be said.

    Args:
        trials: losses before training; their spread is the objective's own noise.
        losses: one a step.
        floor: what the loss cannot go below, where that is known.
        target: the user's own idea of learned.
        after: the loss of the trained model with dropout at rest, if it was taken.

    Returns:
        `learned` (True, False, None) with its `reason`; `course`: reached, falling (still),
        stuck (fell, then stays above the floor), flat, rising, not finite, at floor or none;
        `start`, `end`, `peak`, `floor`, `noise`, and `progress`: the share of the way to the
        floor, or of the start where the floor is not known.
    """
    result: dict[str, Any] = {
        "start": trials[0] if trials else None,
        "end": None,
        "after": after,
        "peak": None,
        "floor": floor.value,
        "floor_reason": floor.reason,
        "target": target,
        "noise": 0.0,
        "stochastic": len(set(trials)) > 1,
        "progress": None,
        "learned": None,
        "course": "none",
        "reason": "no loss was seen",
    }
    if not trials or not losses:
        return result
    finite = [loss for loss in losses if math.isfinite(loss)]
    result["peak"] = max(finite, default=None)
    if len(finite) < len(losses) or not all(map(math.isfinite, trials)):
        verdict = {"learned": False, "course": "not finite", "reason": "the loss is not finite"}
        return result | verdict | {"end": losses[-1]}
    start, end = statistics.fmean(trials), statistics.median(losses[-3:])
    best_end = end if after is None or not math.isfinite(after) else min(end, after)
    way = start - floor.value if floor.value is not None else max(abs(start), 1e-12)
    noise = noise_of(trials, losses)
    progress = (start - best_end) / way if way > 0 else 1.0
    result |= {"start": start, "end": end, "noise": noise, "progress": progress}
    result |= _verdict(result, losses, way)
    if target is not None:
        met = min(losses) <= target
        result |= {"learned": met, "reason": f"target {'' if met else 'not '}reached"}
    return result


def _verdict(result: dict[str, Any], losses: Sequence[float], way: float) -> dict[str, Any]:
    progress, noise = result["progress"], result["noise"]
    moved = progress * way  # downwards
    known = result["floor"] is not None
    beyond_noise = moved > BEYOND_NOISE * noise
    if known and way <= 1e-6:
        return _said(None, "at floor", "it starts at its floor: nothing is left to learn")
    if known and progress >= 1 - LEARNED_SHARE:
        return _said(True, "reached", "the floor is reached")
    if -moved > max(FLAT_SHARE * way, BEYOND_NOISE * noise):
        return _said(False, "rising", "it rises")
    if progress < FLAT_SHARE or not beyond_noise:
        return _said(False, "flat", "it does not move")
    if not known and progress >= MOVED_SHARE:
        return _said(True, "falling", "it falls; its floor is not known")
    if settled(losses, way, noise):
        return _said(False if known else None, "stuck", "it falls, and stays above its floor")
    return _said(None, "falling", "it was still falling when the steps ended")


def _said(learned: bool | None, course: str, reason: str) -> dict[str, Any]:
    return {"learned": learned, "course": course, "reason": reason}


def noise_of(trials: Sequence[float], losses: Sequence[float]) -> float:
    """Return the standard deviation of the loss around its trend.

    It is read off the trials, and off the second differences of the curve's last half, which a
    smooth fall leaves near zero (for independent noise their variance is six-fold).
    """
    spread = statistics.pstdev(trials) if len(trials) > 1 else 0.0
    tail = losses[len(losses) // 2 :]
    bends = [a - 2 * b + c for a, b, c in zip(tail, tail[1:], tail[2:], strict=False)]
    if len(bends) < 4:
        return spread
    typical = statistics.median(abs(bend) for bend in bends) / 0.6745
    return max(spread, typical / 6**0.5)


def settled(losses: Sequence[float], way: float, noise: float) -> bool:
    """Tell whether a curve has come to rest: its last two stretches lie at one height."""
    stretch = max(8, len(losses) // 5)
    if len(losses) < 3 * stretch:
        return False
    before = statistics.median(losses[-2 * stretch : -stretch])
    now = statistics.median(losses[-stretch:])
    return before - now < max(0.01 * way, noise * (2 * math.pi / stretch) ** 0.5)
