"""How low can this loss go, and where does learning begin? Read off the loss functions called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from traindoctor.trace import CriterionRow

# These are zero at a perfect prediction.
ZERO = {
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "multi_margin_loss",
    "triplet_margin_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "cosine_embedding_loss",
}
BY_TARGET = {"binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy"}
# No loss functions, only what they may be written with.
PARTS = {"sub", "rsub", "subtract", "partial_likelihood", "opposed_minimum", "opposed_maximum"}


@dataclass(frozen=True, slots=True)
class Floor:
    """The lowest value a loss can take, in the loss's own unit; None where it is not known.

    Attributes:
        value: the lowest.
        reason: why it is that.
        guess: the loss of predictions that find all classes equally likely; whoever starts above it
            has learned nothing by coming down to it. Infinite where it is not known.
    """

    value: float | None
    reason: str
    guess: float = math.inf


def floor_of(criteria: Sequence[CriterionRow], loss: float) -> Floor:
    """Return the floor of a loss that is one call of a known function, or a sum of such.

    Args:
        criteria: the calls of one forward pass.
        loss: what the forward pass ended with.
    """
    known = [row for row in criteria if row.value is not None and row.function not in PARTS]
    if not known:
        return Floor(None, "no known loss function was called")
    if not math.isclose(sum(map(_value, known)), loss, rel_tol=1e-3, abs_tol=1e-6):
        return Floor(None, "the loss is more than the loss functions it calls")
    floors = [_floor(row) for row in known]
    unknown = [floor for floor in floors if floor.value is None]
    if unknown:
        return unknown[0]
    total = sum(floor.value or 0.0 for floor in floors)
    reason = "; ".join(dict.fromkeys(floor.reason for floor in floors))
    return Floor(total, reason, guess=sum(map(_guess, known)))


def _value(row: CriterionRow) -> float:
    value = row.value or 0.0
    return -value if row.function == "log_likelihood" else value


def _floor(row: CriterionRow) -> Floor:
    perfect = Floor(0.0, f"{row.function} is 0 at a perfect prediction")
    if row.function in ZERO or row.function == "log_likelihood":
        return perfect
    if row.function == "nll_loss":
        if row.input_maximum is not None and row.input_maximum > 1e-6:
            return Floor(None, "nll_loss of something that is no log-probability has no floor")
        return perfect
    if row.function not in BY_TARGET:
        return Floor(None, f"the floor of {row.function} is not known")
    if row.target_dtype.startswith(("float", "bfloat")):
        hard = row.target_minimum in (0.0, 1.0) and row.target_maximum in (0.0, 1.0)
        if not hard:
            return Floor(None, f"{row.function} with soft targets ends at their entropy")
    if row.label_smoothing:
        if row.num_classes is None or row.reduction != "mean" or row.has_weight:
            return Floor(None, "the floor of weighted or summed smooth labels is not known")
        return Floor(_smoothed(row.label_smoothing, row.num_classes), "label smoothing")
    return perfect


def _guess(row: CriterionRow) -> float:
    if row.reduction != "mean" or row.has_weight:
        return math.inf
    if row.function in ("cross_entropy", "nll_loss") and row.num_classes:
        return math.log(max(row.num_classes, 2))
    return math.log(2) if row.function.startswith("binary_cross_entropy") else math.inf


def _smoothed(smoothing: float, num_classes: int) -> float:
    """Return the entropy of a one-hot target smoothed over all classes, in nats."""
    off = smoothing / num_classes
    on = 1 - smoothing + off
    return -on * math.log(on) - (num_classes - 1) * off * math.log(off)
