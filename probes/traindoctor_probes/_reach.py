"""What keeps an answer from the loss, as far as it shows in what the loss function gets."""

from __future__ import annotations

import math

from traindoctor.probing.wording import figure
from traindoctor.trace import CriterionRow, Place, Trace

RANGES = {  # what comes out of an activation
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softmax": (0.0, 1.0),
    "relu": (0.0, math.inf),
    "logsigmoid": (-math.inf, 0.0),
}
DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def mechanism(few: Trace) -> str:
    """Say what keeps even two samples from being learned, as far as it shows at the loss."""
    row = last_criterion(few)
    bound = lowest(row) if row else None
    if row and is_out_of_reach(row):
        return (
            f"After training the outputs lie between {figure(row.input_minimum)} and "
            f"{figure(row.input_maximum)}, and the targets between {figure(row.target_minimum)} "
            f"and {figure(row.target_maximum)}: `{row.input_operation}` bounds what comes out."
        )
    if row and is_blind(few):
        return (
            f"What `{row.function}` gets is the same for samples of different labels, to "
            f"{figure(row.input_spread)}, after training as before: their inputs do not reach it."
        )
    if row and bound is not None and bound > 0.5 * (row.value or 0.0):
        return (
            f"After training the logits lie between {figure(row.input_minimum)} and "
            f"{figure(row.input_maximum)}. A cross entropy over {row.num_classes} classes "
            f"cannot go below {figure(bound)} with logits so close: something bounds them."
        )
    return "The loss rests above its floor at every learning rate, for two samples as for all."


def last_criterion(run: Trace) -> CriterionRow | None:
    """Return what the last loss function got when training had ended."""
    return next((row for row in reversed(run.criteria) if row.value is not None), None)


def is_blind(few: Trace) -> bool:
    """Tell whether the loss function gets the same for each sample, and the loss rests."""
    row, facts = last_criterion(few), few.facts["overfit"]
    if row is None or row.input_spread is None or facts["course"] not in ("stuck", "flat"):
        return False
    width = (row.input_maximum or 0.0) - (row.input_minimum or 0.0)
    return row.input_spread <= 1e-3 * width and facts["learned"] is not True


def lowest(row: CriterionRow) -> float | None:
    """Return the lowest cross entropy of logits that are no further apart than these."""
    if row.function != "cross_entropy" or not row.num_classes:
        return None
    width = (row.input_maximum or 0.0) - (row.input_minimum or 0.0)
    return math.log1p((row.num_classes - 1) * math.exp(-width))


def is_out_of_reach(row: CriterionRow) -> bool:
    """Tell whether targets lie where the last activation of the outputs cannot go."""
    low, high = RANGES.get(row.input_operation, (-math.inf, math.inf))
    given, wanted = row.target_minimum, row.target_maximum
    if row.function not in DISTANCES or given is None or wanted is None:
        return False
    return given < low or wanted > high


def limiting_line(few: Trace) -> Place:
    """Return the line of the activation that keeps the answer from the loss, if one does."""
    row = last_criterion(few)
    if row is None or row.input_operation not in (*RANGES, "normalize"):
        return Place()
    bound = lowest(row)
    is_bound = bound is not None and bound > 0.5 * (row.value or 0.0) and not is_blind(few)
    return row.input_place if is_bound or is_out_of_reach(row) else Place()
