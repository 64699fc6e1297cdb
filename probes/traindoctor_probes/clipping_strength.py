"""Does clipping touch the odd gradient alone, or does it decide the length of every step?

## What it measures
The norm that each call of `clip_grad_norm_` finds, beside the limit that it lays on.

## Why it matters
Clipping is meant for the odd gradient that is far too large. At a limit below every gradient each
step is as long as the limit says, however steep the loss is.

## Known limits
Optimizers that divide a gradient by its own running size (Adam and its kin) take steps that
clipping by a constant hardly changes, and some published detection models train so on purpose. For
those a limit below every gradient is information, and a possible mistake only where it leaves less
than a two-hundredth, or gradients that Adam's eps of 1e-8 drowns. In the first fifty steps every
single one has to be clipped so; later the first twenty do not count. Clipping value by value has no
common norm and is not judged.

## References
Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Series,
    Severity,
)
from traindoctor.probing.values import keyword_places
from traindoctor.probing.wording import counted, figure, first_location
from traindoctor.trace import ClipRow, HandlingRow, Place, Trace
from traindoctor_probes._handling import handling_of, median, require_instruments

DOMINATES = Rule(
    code="TD210",
    name="clipping-dominates",
    severity=Severity.WARNING,
    title="Clipping shrinks the gradient in {num_clipped} of {num_calls} steps, to {coefficient} "
    "of itself",
    what="The limit lies far below the gradients' norm: nearly every step is clipped to it.",
    why="Every step has the same length, whatever the gradient says. With plain gradient descent "
    "the learning rate is in truth a small part of the one that is set.",
    known_limits="Before the fiftieth step all steps must be clipped to less than a tenth. For "
    "optimizers that divide the size out of a gradient it is information, or silent.",
    remedies=(
        Remedy(
            "Raise the limit to what only outliers exceed",
            recommended=True,
            pros="The length of a step tells again how steep the loss is.",
            cons="The learning rate may have to come down.",
        ),
        Remedy(
            "Take the mean of the loss where it is a sum",
            pros="A norm that grows with the batch is most often that.",
            before='loss = F.mse_loss(output, target, reduction="sum")',
            after="loss = F.mse_loss(output, target)",
        ),
    ),
    explains=("TD409", "TD6"),
)
SMALL = 0.1  # coefficient from which on a clipped gradient is another one
SMALL_FOR_ADAM, TOLD_FOR_ADAM = 0.005, 0.02
ADAMS_EPS = 1e-8
FEW, MANY, WARM_UP = 5, 50, 20  # calls
OFTEN = 0.9


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the limit of each line that clips by a norm."""
    run = ask(ShortRun())
    require_instruments(run, "clipping")
    run.require(steps=1)
    for row in run.clips:
        handling = handling_of(run, row.optimizer)
        if handling is not None and row.kind == "norm":
            declared = (
                () if row.place else keyword_places(ask(ReadSource()).source, "max_grad_norm")
            )
            yield from dominating(run, row, handling, declared)


def dominating(
    run: Trace, row: ClipRow, handling: HandlingRow, declared: Sequence[Place]
) -> Iterator[Finding]:
    """Yield the finding for a limit that lies below nearly every gradient."""
    pairs = [
        (norm, limit)
        for norm, limit in zip(row.norms, row.limits, strict=True)
        if norm > 0 and math.isfinite(norm) and math.isfinite(limit)
    ]
    if row.count >= MANY:
        pairs = pairs[WARM_UP:]
    coefficients = [min(1.0, limit / norm) for norm, limit in pairs]
    if len(coefficients) < FEW:
        return
    bound, severity = _bound(run, handling, median(row.limits), median(coefficients))
    num_clipped = sum(value < bound for value in coefficients)
    if num_clipped < (OFTEN if row.count >= MANY else 1.0) * len(coefficients):
        return
    norms = [norm for norm, _ in pairs]
    yield DOMINATES.finding(
        f"The gradients' norm was {figure(min(norms))} to {figure(max(norms))} where the limit is "
        f"{figure(median(row.limits))}: {num_clipped} of {counted(len(norms), 'step')} were clipped"
        f" to less than {figure(bound)} of what the backward pass gave.",
        severity=severity,
        confidence=_sureness(row, handling),
        mechanism=_effect(handling),
        location=first_location([row.place, *declared, run.setup.factory]),
        evidence=[
            Evidence("limit", median(row.limits)),
            Evidence("norm (median)", median(norms), f"<= {figure(median(row.limits))} mostly"),
            Evidence("what clipping leaves of it (median)", median(coefficients), "1 mostly"),
            Evidence("steps clipped so", num_clipped, "few"),
        ],
        series=[Series("gradient norm", tuple(range(len(norms))), tuple(norms))],
        remedies=[_raised(norms, row), *DOMINATES.remedies[1:]],
        num_clipped=num_clipped,
        num_calls=len(norms),
        coefficient=figure(median(coefficients)),
    )


def _bound(
    run: Trace, handling: HandlingRow, limit: float, coefficient: float
) -> tuple[float, Severity]:
    """Return what a coefficient must be below, and how bad that is for this optimizer."""
    if _follows_size(handling):
        return SMALL, Severity.WARNING
    elements = sum(row.num_elements for row in run.parameters if row.num_optimizers)
    drowned = elements > 0 and limit / elements**0.5 < 10 * ADAMS_EPS
    if drowned:
        return SMALL, Severity.WARNING
    if coefficient < SMALL_FOR_ADAM:
        return SMALL_FOR_ADAM, Severity.WARNING
    return TOLD_FOR_ADAM, Severity.INFO


def _sureness(row: ClipRow, handling: HandlingRow) -> Confidence | None:
    if not _follows_size(handling):
        return Confidence.POSSIBLE
    return Confidence.LIKELY if row.count < MANY else None


def _follows_size(handling: HandlingRow) -> bool:
    """Tell optimizers whose step is as long as the gradient."""
    return handling.class_name.lower().startswith(("sgd", "asgd"))


def _effect(handling: HandlingRow) -> str:
    if _follows_size(handling):
        return (
            f"{handling.class_name} moves the weights by the learning rate times the gradient. "
            "Clipped each time, the gradient gives the direction alone, and the learning rate is "
            "in effect multiplied by the coefficient."
        )
    return (
        f"{handling.class_name} divides a gradient by its running size, so that a constant factor "
        "cancels out. What is left is that all batches weigh the same, and that values near eps "
        "are lost."
    )


def _raised(norms: Sequence[float], row: ClipRow) -> Remedy:
    """Return the remedy with a limit that nine of ten norms stay below."""
    limit = sorted(norms)[int(0.9 * (len(norms) - 1))]
    return Remedy(
        DOMINATES.remedies[0].title,
        recommended=True,
        pros=DOMINATES.remedies[0].pros,
        cons=DOMINATES.remedies[0].cons,
        before=f"max_norm = {figure(median(row.limits))}",
        after=f"max_norm = {float(figure(limit, 2))}",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="clipping-strength",
    doc=__doc__,
    rules=(DOMINATES,),
    examine=examine,
    experiments=experiments,
)
