"""Reads a loss curve over one batch: did it reach its floor, is it on the way, does it move?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from traindoctor.experiments.floors import BY_TARGET, ZERO, Floor
from traindoctor.trace import CriterionRow

__all__ = ["is_stochastic", "noise_of", "outcome", "settled", "worsened"]

LEARNED_SHARE = 0.1  # of the way from the start to the floor that may be left
MOST = 0.85  # of the way: a curve that rests further up has not learned
MOVED_SHARE = 0.1  # of that way that must have been gone to speak of learning
FLAT_SHARE = 0.01  # of that way: less is no movement
SETTLED_SHARE = 0.03  # of the way gone so far: less in the last fifth of the steps is rest
BEYOND_NOISE = 4.0  # standard deviations


def outcome(
    *,
    trials: Sequence[float],
    losses: Sequence[float],
    floor: Floor,
    target: float | None = None,
    before: Sequence[float] = (),
    after: Sequence[float] = (),
    num_optimizers: int = 1,
) -> dict[str, Any]:
    """Judge a curve: learned, not learned, or neither can be said.

    Args:
        trials: losses before training, as training takes them; their spread is noise.
        losses: one a step.
        floor: what the loss cannot go below, where that is known.
        target: the user's own idea of learned.
        before: losses before training with dropout at rest, if they were taken. If even they
            differ, the objective itself draws noise and its floor is not known.
        after: the same after training.
        num_optimizers: several may train against each other.

    Returns:
        `learned` (True, False, None) with its `reason`; `course`: reached, falling (still),
        stuck (fell, then stays above the floor), flat, rising, not finite, at floor or none;
        `start`, `end`, `peak`, `floor`, `noise`, and `progress`: the share of the way to the
        floor, or of the start where the floor is not known. A way that starts above what guessing
        gives is counted from there: coming down to guessing is not learning.
    """
    stochastic = is_stochastic(before)
    if stochastic:
        floor = Floor(None, "the objective draws noise of its own")
    result: dict[str, Any] = {
        "start": trials[0] if trials else None,
        "end": None,
        "at_rest": (before[0], after[0]) if before and after else None,
        "peak": max(filter(math.isfinite, losses), default=None),
        "floor": floor.value,
        "floor_reason": floor.reason,
        "target": target,
        "noise": 0.0,
        "stochastic": stochastic,
        "progress": None,
    }
    if not trials or not losses:
        return result | _said(None, "none", "no loss was seen")
    if not all(map(math.isfinite, [*trials, *losses])):
        return result | {"end": losses[-1]} | _said(False, "not finite", "the loss is not finite")
    start, end = statistics.fmean(trials), statistics.median(losses[-3:])
    seen = [(start, end, noise_of(trials, losses))]
    if before and after and math.isfinite(after[0]):
        rest = statistics.fmean(before), statistics.fmean(after), statistics.pstdev(before)
        seen.insert(0, rest)
    clear = [one for one in seen if abs(one[0] - one[1]) > BEYOND_NOISE * one[2]]
    first, last, noise = max(clear or seen[:1], key=lambda one: one[0] - one[1])
    way = _way(first, floor)
    gone = (first - last) / way
    begin = min(first, floor.guess)
    is_above = begin < first and last < first
    progress = max(0.0, (begin - last) / _way(begin, floor)) if is_above else gone
    result |= {"start": start, "end": end, "noise": noise, "progress": progress}
    result |= _verdict(result, losses, way, gone, floor.guess, num_optimizers)
    if target is not None:
        met = min(losses) <= target
        result |= {"learned": met, "reason": f"target {'' if met else 'not '}reached"}
    return result


def is_stochastic(losses: Sequence[float]) -> bool:
    """Tell whether losses of the same weights on the same batch differ by more than rounding."""
    if len(losses) < 2 or not all(map(math.isfinite, losses)):
        return False
    return max(losses) - min(losses) > 1e-4 * max(abs(loss) for loss in losses)


def _way(start: float, floor: Floor) -> float:
    return max(abs(start) if floor.value is None else start - floor.value, 1e-12)


def _verdict(
    result: dict[str, Any],
    losses: Sequence[float],
    way: float,
    gone: float,
    guess: float,
    num_optimizers: int,
) -> dict[str, Any]:
    progress, noise, known = result["progress"], result["noise"], result["floor"] is not None
    beyond_noise = abs(gone) * way > BEYOND_NOISE * noise
    if known and way <= 1e-6:
        return _said(None, "at floor", "it starts at its floor: nothing is left to learn")
    if known and progress >= 1 - LEARNED_SHARE:
        return _said(True, "reached", "the floor is reached")
    if num_optimizers > 1 and gone < MOVED_SHARE:
        return _said(None, "flat", "several optimizers train one another's losses")
    if abs(gone) < FLAT_SHARE or not beyond_noise:
        if BEYOND_NOISE * noise > MOVED_SHARE * way:
            return _said(None, "flat", "its noise is larger than its movement could be")
        return _said(False, "flat", "it does not move")
    if gone < 0:
        return _said(False, "rising", "it rises")
    if not known and progress >= MOVED_SHARE:
        return _said(True, "falling", "it falls; its floor is not known")
    if not known:
        return _said(None, "falling", "it falls; how far it could is not known")
    if settled(losses, noise_of([], losses), guess):
        learned = False if progress < MOST else None
        return _said(learned, "stuck", "it falls, and stays above its floor")
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


def settled(losses: Sequence[float], noise: float = 0.0, guess: float = math.inf) -> bool:
    """Tell whether a curve has come to rest: its last two fifths lie at one height.

    A slow but steady fall is none, however slow: it gains a fifth of its way in each fifth. A
    curve so noisy that its fifths cannot be compared is not called settled. What is gone down to
    the loss of guessing is no way.
    """
    stretch = max(8, len(losses) // 5)
    if len(losses) < 4 * stretch:
        return False
    before = statistics.median(losses[-2 * stretch : -stretch])
    now = statistics.median(losses[-stretch:])
    way = losses[0] - now
    if guess < losses[0]:
        way = max(guess - now, MOVED_SHARE * guess)
    little = SETTLED_SHARE * way
    error = 1.2533 * noise * (2 / stretch) ** 0.5  # standard error of a difference of medians
    return error < little and before - now < little


def worsened(
    before: Sequence[CriterionRow], after: Sequence[CriterionRow], floor: Floor
) -> dict[str, Any]:
    """Return another verdict where a loss falls while the loss function it is made of rises.

    A sign was turned. Only a loss of one known function is judged, and only where its floor is
    not known: what falls towards its floor does so with its loss function.
    """
    first = [row for row in before if row.value is not None]
    last = [row for row in after if row.value is not None]
    if floor.value is not None or len(first) != 1 or len(last) != 1:
        return {}
    name, old, new = first[0].function, first[0].value or 0.0, last[0].value or 0.0
    rises = name in ZERO | BY_TARGET and new > 2 * old > 0
    sinks = name == "log_likelihood" and new < 2 * old < 0
    if not rises and not sinks:
        return {}
    return _said(False, "rising", f"it falls while {name} goes from {old:.3g} to {new:.3g}")
