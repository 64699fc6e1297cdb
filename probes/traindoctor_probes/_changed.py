"""What probes ask of the losses of a batch with one thing changed."""

from __future__ import annotations

import math

from traindoctor.errors import CannotJudge
from traindoctor.experiments.changes import AGAIN, PLAIN
from traindoctor.trace import Trace


def losses_of(run: Trace) -> dict[str, float]:
    """Return the loss by what was changed.

    Raises:
        CannotJudge: there is none of the plain batch, it is not finite, or it differs from one time
            to the next.
    """
    found = {row.label: row.value for row in run.evaluations}
    if PLAIN not in found or AGAIN not in found:
        raise CannotJudge("the first batch gave no loss")
    if not math.isfinite(found[PLAIN]):
        raise CannotJudge("the loss is not finite after a few steps on the first batch")
    if found[PLAIN] != found[AGAIN]:
        raise CannotJudge("the loss of one batch differs from one time to the next")
    return found


def is_ignored(run: Trace, losses: dict[str, float], *labels: str) -> bool:
    """Tell whether each of the changes leaves the loss and every gradient bit for bit as it is."""
    same = run.facts["same_gradients"]
    is_alive = PLAIN in same and run.facts["gradient_norm"] > 0
    return is_alive and all(losses.get(k) == losses[PLAIN] and k in same for k in labels)


def differs(losses: dict[str, float], one: str, other: str, least: float) -> bool | None:
    """Tell whether two losses differ by more than that, relatively; None where it is not known.

    NaN is the mean over no labels.
    """
    a, b = losses.get(one, math.nan), losses.get(other, math.nan)
    if math.isnan(a) or math.isnan(b):
        return None
    return abs(a - b) > least * max(abs(a), abs(b))
