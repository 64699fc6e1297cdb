"""Does the loss compare each prediction with its own target?

## What it measures
The shapes of prediction and target in each call of an elementwise loss function, and in
hand-written differences whose target is a tensor of the batch, or in which a layer's single output
meets a target that needs no gradient, and the squares or sizes of all pairs become one number.

## Why it matters
(N, 1) and (N,) broadcast to (N, N): every prediction is compared with every target. The loss
falls to the targets' variance and stays there, whatever the inputs are.

## Known limits
Products of broadcast losses and weights are not seen. A hand-written difference with a target that
is computed counts only if the prediction comes from a layer with one output.

## References
PyTorch, "Broadcasting semantics", and the warning of mse_loss about differing target sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from traindoctor.experiments import Experiment, OneStep
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import location
from traindoctor.trace import CriterionRow, Trace

Shape = tuple[int, ...]

BROADCAST = Rule(
    code="TD012",
    name="shapes-broadcast",
    severity=Severity.ERROR,
    title="{function} broadcasts {given} against {target} to {result}",
    what="Prediction and target have different shapes and broadcast to a larger one.",
    why="Each prediction is compared with the targets of all samples.",
    known_limits="Losses that torch names, and differences with a tensor of the batch or of a "
    "layer's single output.",
    remedies=(
        Remedy(
            "Drop the prediction's last axis",
            recommended=True,
            before="F.mse_loss(outputs, targets)",
            after="F.mse_loss(outputs.squeeze(-1), targets)",
        ),
        Remedy(
            "Give the target that axis",
            before="F.mse_loss(outputs, targets)",
            after="F.mse_loss(outputs, targets.unsqueeze(-1))",
        ),
    ),
    explains=("TD108", "TD113", "TD207", "TD103", "TD6", "TD807", "TD712"),
)
_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss")
_DIFFERENCES = ("sub", "rsub", "subtract")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge each place in which prediction and target met."""
    step = ask(OneStep())
    seen = set()
    for row in step.criteria:
        key = (row.function, row.place)
        if key not in seen and is_broadcast(row, step):
            seen.add(key)
            yield finding(row, step)


def is_broadcast(row: CriterionRow, step: Trace) -> bool:
    """Tell whether equal numbers of predictions and targets met in a larger shape."""
    given, target = row.input_shape, row.target_shape
    result = broadcast(given, target)
    if result is None or len(given) == len(target) or _squeezed(given) != _squeezed(target):
        return False
    if math.prod(result) <= max(math.prod(given), math.prod(target)):
        return False
    if row.function in _LOSSES:
        return True
    is_whole = row.input_operation == "linear" and row.reduction != "none"
    return row.function in _DIFFERENCES and (is_whole or is_label(row, step))


def is_label(row: CriterionRow, step: Trace) -> bool:
    """Tell whether the target of a difference holds the values of a tensor of the batch."""
    return row.target_minimum is not None and any(
        leaf.shape == row.target_shape
        and (leaf.minimum, leaf.maximum) == (row.target_minimum, row.target_maximum)
        for batch in step.batches
        for leaf in batch.leaves
    )


def broadcast(first: Shape, second: Shape) -> Shape | None:
    """Return the shape that two shapes broadcast to, or None."""
    width = max(len(first), len(second))
    pairs = zip(
        (1,) * (width - len(first)) + first, (1,) * (width - len(second)) + second, strict=True
    )
    result = []
    for a, b in pairs:
        if a != b and 1 not in (a, b):
            return None
        result.append(b if a == 1 else a)
    return tuple(result)


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def finding(row: CriterionRow, step: Trace) -> Finding:
    """Return the finding for one place."""
    result = broadcast(row.input_shape, row.target_shape)
    assert result is not None
    named = row.function if row.function in _LOSSES else "The difference"
    pairs, own = math.prod(result), math.prod(row.target_shape)
    return BROADCAST.finding(
        f"{named} got predictions of shape {row.input_shape} and targets of shape "
        f"{row.target_shape}: {pairs:,} pairs where there are {own:,} targets.",
        confidence=Confidence.CERTAIN if row.function in _LOSSES else Confidence.LIKELY,
        mechanism="Shapes are aligned at their last axis. The prediction's axis of size 1 is "
        "repeated for each target, so that the loss is a mean over all pairs: its minimum is the "
        "targets' mean for every input.",
        location=location(row.place or step.setup.factory),
        evidence=[
            Evidence("shape of the prediction", str(row.input_shape), str(row.target_shape)),
            Evidence("pairs compared", pairs, own),
        ],
        function=named,
        given=str(row.input_shape),
        target=str(row.target_shape),
        result=str(result),
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="loss-broadcast",
    doc=__doc__,
    rules=(BROADCAST,),
    examine=examine,
    experiments=experiments,
)
