"""Are logits free to be negative?

## What it measures
The operation that made what `cross_entropy` or `binary_cross_entropy_with_logits` is given in one
step, the smallest value in it, and the share that is exactly zero.

## Why it matters
A class is ruled out by a large negative logit. After a ReLU no logit is below zero: every class
that is ruled out shares one and the same score, and gets no gradient to fall any further.

## Known limits
Seen is the last operation before the loss function, by the name that torch has for it. Logits that
go through an activation and then through a `log_softmax` of the user's own are not seen.

## References
Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2: output units of a classifier are linear.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, OneStep
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location, location
from traindoctor.trace import CriterionRow, Place
from traindoctor_probes._loss_input import made_at

FUNCTIONS = ("cross_entropy", "binary_cross_entropy_with_logits")
LOWEST = {"relu": 0.0, "clamp": 0.0, "gelu": -0.17, "silu": -0.2785}  # of what each returns
MANY_ZEROS = 0.05  # share of logits that a ReLU or clamp has cut off

ON_LOGITS = Rule(
    code="TD714",
    name="activation-on-logits",
    severity=Severity.ERROR,
    title="`{operation}` stands between the logits and `{function}`",
    what="An activation that returns no, or hardly any, negative values is the last operation "
    "before a loss function that takes logits.",
    why="Classes cannot be ruled out, and units below zero get no gradient.",
    known_limits="ReLU, GELU, SiLU and a clamp at zero are known, as the last operation alone.",
    remedies=(
        Remedy(
            "Let the last layer be linear",
            recommended=True,
            pros="Logits may be any number; the loss function squashes them by itself.",
            before="return F.relu(self.head(x))",
            after="return self.head(x)",
        ),
        Remedy(
            "Move the activation in front of the last layer",
            before="return F.relu(self.head(x))",
            after="return self.head(F.relu(x))",
        ),
    ),
    explains=("TD103", "TD104", "TD114", "TD202", "TD204", "TD214", "TD409", "TD6", "TD712"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at what made the input of each loss function."""
    step = ask(OneStep())
    seen = set()
    for row in step.criteria:
        place = row.input_place or row.place
        if is_cut_off(row) and (row.function, place) not in seen:
            seen.add((row.function, place))
            yield cut_off(row, made_at(ask, step, row))


def is_cut_off(row: CriterionRow) -> bool:
    """Tell logits that an activation has cut off from below."""
    lowest = LOWEST.get(row.input_operation)
    if row.function not in FUNCTIONS or lowest is None or row.input_minimum is None:
        return False
    is_binary = row.function != "cross_entropy"
    if not is_binary and (row.num_classes or 0) < 2:
        return False
    if lowest == 0 and (row.input_minimum != 0 or row.input_share_zero < MANY_ZEROS):
        return False
    return row.input_minimum >= lowest


def cut_off(row: CriterionRow, made: Place) -> Finding:
    """Return the finding for the logits of one loss function."""
    has_zeros = LOWEST[row.input_operation] == 0
    zeros = f", and {row.input_share_zero:.0%} are exactly 0" if has_zeros else ""
    return ON_LOGITS.finding(
        f"The input of `{row.function}` comes from `{row.input_operation}`: no logit is below "
        f"{figure(row.input_minimum)}{zeros}.",
        mechanism=f"`{row.function}` takes logits and squashes them by itself: a class is ruled "
        "out by a large negative one. What is cut off at zero cannot become one, and the slope "
        f"of `{row.input_operation}` is zero or small there, so that nothing moves it on.",
        location=first_location([made, row.place]),
        also_at=[location(row.place)] if made and row.place else [],
        evidence=[
            Evidence("last operation before the loss", row.input_operation, "a linear layer"),
            Evidence("smallest logit", row.input_minimum, "below 0"),
            Evidence("share of logits that are exactly 0", row.input_share_zero, 0.0),
            Evidence("largest logit", row.input_maximum),
        ],
        operation=row.input_operation,
        function=row.function,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="logit-activation",
    doc=__doc__,
    rules=(ON_LOGITS,),
    examine=examine,
    experiments=experiments,
)
