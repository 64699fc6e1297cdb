"""What the probes of gradient handling share: who was seen doing what to which optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from traindoctor.errors import CannotJudge
from traindoctor.probing import Evidence
from traindoctor.trace import HandlingRow, StepRow, Trace


def require_instruments(run: Trace, *names: str) -> None:
    """Refuse to judge what an instrument that failed has seen the half of.

    Raises:
        CannotJudge: with what it failed with.
    """
    broken = run.facts.get("broken_instruments", {})
    for name in ("order", *names):
        if name in broken:
            raise CannotJudge(f"what records this failed with {broken[name]}")


def handling_of(run: Trace, optimizer: int | None) -> HandlingRow | None:
    """Return how the gradients of an optimizer were handled; None where it never stepped."""
    return next((row for row in run.handling if row.optimizer == optimizer), None)


def around_the_restart(run: Trace) -> list[Evidence]:
    """Return what is known of the run that this one goes on from, beside how this one begins."""
    earlier = run.facts.get("earlier")
    if not earlier:
        return []
    found = [Evidence("steps of the run before", earlier["num_steps"])]
    first = next((row.loss for row in run.pulses if row.optimizer == 0), None)
    if earlier["loss"] is not None and first is not None:
        expected = f"about {earlier['loss']:.4g}, at which the run before ended"
        found.append(Evidence("first loss", round(first, 6), expected))
    return found


def left_by_clipping(run: Trace, optimizer: int) -> float:
    """Return the share of an optimizer's gradient that clipping by the norm leaves, mostly."""
    left = 1.0
    for row in run.clips:
        if row.kind == "norm" and row.optimizer == optimizer:
            pairs = zip(row.norms, row.limits, strict=True)
            left *= median([min(1.0, limit / norm) for norm, limit in pairs if norm > 0] or [1.0])
    return left


def is_most(part: int, whole: int, share: float = 0.5) -> bool:
    """Tell whether something was the habit of a run, not an accident: twice, and in most cases."""
    return part >= 2 and part >= share * whole


def median(values: Sequence[float]) -> float:
    """Return the middle value; of an even number the upper of the two."""
    return sorted(values)[len(values) // 2]


def window_of(steps: Sequence[StepRow], epochs: Mapping[int, int]) -> int | None:
    """Return the number of batches between two steps of one epoch, if it is always the same.

    A step at an epoch's last batch may come early; it is not counted.
    """
    lasts = set({epoch: batch for batch, epoch in epochs.items()}.values())
    gaps = {
        after.batch - before.batch
        for before, after in pairwise(steps)
        if epochs.get(after.batch) == epochs.get(before.batch) and after.batch not in lasts
    }
    if len(gaps) == 1:
        return gaps.pop()
    first = steps[0].batch + 1 if steps else 0
    return first if not gaps and first > 1 else None
