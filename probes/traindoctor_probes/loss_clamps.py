"""Does a clamp beside the loss function take the gradient away?

## What it measures
Where the input of a loss function comes out of a clamp: the share of its elements that the clamp
changed. Where its value goes into a clamp: the share of the elements that the clamp lowered. At the
first step, and once one batch has been trained on, if it was not learned.

## Why it matters
A clamp that bites has no slope: what lies beyond its bound gets no gradient, so that nothing moves
it back. Samples whose loss is capped are those that the model is most wrong about.

## Known limits
A clamp further away than the last operation on the input is not seen, nor one that writes in place.
One that bites little, such as a bound on probabilities beside 0 and 1, is left alone, as are bounds
from below on a loss (free bits), margins of hinge losses, and targets.

## References
`torch.clamp`: its derivative is 0 outside the bounds.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, OneStep, OverfitBatch
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes._loaders import had

MANY = 0.3
MAX_SECONDS = 10.0

CLIPPED = Rule(
    code="TD114",
    name="loss-clipped",
    severity=Severity.ERROR,
    title="A clamp takes the gradient from {share:.0%} of the elements of {what}",
    what="A clamp between the model and the loss holds a large share of the values at its bound.",
    why="At the bound the slope is zero: those values are never corrected.",
    known_limits="Sees a clamp right before a loss function, or on its value.",
    remedies=(
        Remedy(
            "Leave the clamp out; where a bound is needed, use a smooth one",
            recommended=True,
            pros="Cross entropy on logits is stable by itself.",
            before="logits = self.head(x).clamp(-1, 1)",
            after="logits = self.head(x)",
        ),
        Remedy(
            "Clip the gradient in place of the loss",
            pros="Bounds what an outlier does, and keeps its direction.",
            before="loss = loss.clamp(max=1.0)",
            after="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        ),
    ),
    explains=("TD103", "TD202", "TD204", "TD405", "TD409", "TD6", "TD712"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the loss functions of the first step, then at those after training on one batch."""
    step = ask(OneStep())
    row = worst(step)
    when = "in the first step"
    if row is None and any(row.clamp_place or is_from_clamp(row) for row in step.criteria):
        trained = had(ask, OverfitBatch(max_seconds=MAX_SECONDS))
        if trained is not None and trained.facts["overfit"]["learned"] is False:
            row, when = worst(trained), "once one batch has been trained on"
    if row is not None:
        yield finding(step, row, when)


def is_from_clamp(row: CriterionRow) -> bool:
    """Tell whether a clamp made the input, whether or not it bit."""
    return row.input_operation in ("clamp", "clip", "hardtanh")


def worst(run: Trace) -> CriterionRow | None:
    """Return the call from which a clamp takes most, if that is a large share."""
    rows = [row for row in run.criteria if lost(row) >= MANY]
    return max(rows, key=lost, default=None)


def lost(row: CriterionRow) -> float:
    """Return the share of the elements that a clamp holds."""
    return max(row.input_share_clamped, row.value_share_clamped)


def finding(run: Trace, row: CriterionRow, when: str) -> Finding:
    """Return the finding, at the clamp."""
    is_value = row.value_share_clamped > row.input_share_clamped
    what = f"`{row.function}`'s value" if is_value else f"what `{row.function}` gets"
    return CLIPPED.finding(
        f"{when[0].upper()}{when[1:]}, a clamp holds {lost(row):.0%} of the elements of {what} "
        "at its bound.",
        mechanism="The derivative of a clamp is 1 between its bounds and 0 beyond. What lies "
        "beyond gets no gradient, however wrong it is.",
        location=first_location([row.clamp_place, row.input_place, row.place, run.setup.factory]),
        evidence=[
            Evidence("share of elements that the clamp holds", lost(row), "close to 0"),
            Evidence("lowest value that the loss function gets", row.input_minimum),
            Evidence("highest", row.input_maximum),
        ],
        share=lost(row),
        what=what,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (OneStep(),)


probe = Probe(
    name="loss-clamps",
    doc=__doc__,
    rules=(CLIPPED,),
    examine=examine,
    experiments=experiments,
)
