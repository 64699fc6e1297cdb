"""Does training start where it should?

## What it measures
The first batch's cross entropy, compared with ln C: the loss of a model that finds all C
classes equally likely. The range of the logits says how sure the untrained model is.

## Why it matters
A fresh model knows nothing and should say so. One that starts far above ln C is sure of wrong
answers, and spends its first steps on unlearning them; gradients are large, and a learning rate
that suits the rest of training may not suit its start.

## Known limits
Weights that were loaded are not told from fresh ones: a pretrained model on labels that mean
something else starts above ln C too. A loss less than 1.5 above it is silent, so of two classes one
that starts at three times ln 2. Only a loss that is one call of `cross_entropy` without
class weights and smoothing is judged, and only where the layer before it stands in a class of the
user's own: what a library initialises is its affair. Logits that are made of cosines have a scale,
and often a margin, that their author chose (ArcFace, CosFace): where the last product before the
loss is of vectors of length 1 nothing is said.

## References
Karpathy, "A Recipe for Training Neural Networks": verify the loss at initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import Experiment, OneStep
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import CriterionRow, ModuleRow, Trace

OFF = Rule(
    code="TD104",
    name="initial-loss-off",
    severity=Severity.WARNING,
    title="The loss starts at {value}, {ratio} x ln {num_classes}",
    what="The first loss is far above that of a model that finds all classes equally likely.",
    why="The first steps unlearn confident nonsense, with gradients that are large and misleading.",
    known_limits="Loaded weights are not told from fresh ones. Silent with weights and smoothing, "
    "and where logits are cosines times a scale.",
    remedies=(
        Remedy(
            "Initialise the last layer small",
            recommended=True,
            pros="All classes start equally likely, and the loss starts at ln C.",
            before="nn.init.normal_(self.head.weight, std=2.0)",
            after="nn.init.normal_(self.head.weight, std=0.02)\nnn.init.zeros_(self.head.bias)",
        ),
        Remedy(
            "Normalise what goes into the last layer",
            pros="Right where features, not weights, are large.",
            after="return self.head(self.norm(features))",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How far above ln C a loss may start: by either measure.

    Of few classes, twice ln C is soon reached: a residual network of torch's own initialisation
    started 1.15 above ln 3.
    """

    times: float = 2.0
    nats: float = 1.5


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Compare the first loss with that of a guess."""
    step = ask(OneStep())
    step.require(losses=1)
    called = [row for row in step.criteria if row.value is not None]
    if len(called) != 1 or not is_plain(called[0]) or not is_built_by_user(step):
        return
    row, loss = called[0], step.losses[0].value
    value, num_classes = row.value or 0.0, row.num_classes or 1
    expected = math.log(num_classes)
    same = math.isclose(value, loss, rel_tol=1e-3)
    is_off = value > options.times * expected and value - expected > options.nats
    if not (same and math.isfinite(value) and is_off):
        return
    head = last_layer(step)
    yield OFF.finding(
        f"The first batch's cross entropy is {figure(value)}. A model that finds {num_classes} "
        f"classes equally likely has {figure(expected)}; the logits already lie between "
        f"{figure(row.input_minimum)} and {figure(row.input_maximum)}.",
        confidence=Confidence.LIKELY,
        mechanism="The softmax of logits this far apart is nearly one-hot. Where it is wrong, "
        "which it mostly is before training, the loss is the distance between logits.",
        location=first_location(
            [*([head.place] if head else []), row.place, step.setup.factory],
            module=head.path if head else None,
        ),
        evidence=[
            Evidence("first loss", value, expected),
            Evidence("times ln C", value / expected, f"<= {options.times:g}"),
            Evidence("above ln C", value - expected, f"<= {options.nats:g}"),
            Evidence("smallest logit", row.input_minimum),
            Evidence("largest logit", row.input_maximum),
        ],
        value=figure(value),
        ratio=figure(value / expected, 2),
        num_classes=num_classes,
    )


def is_plain(row: CriterionRow) -> bool:
    """Tell a cross entropy whose value for a guess is ln C."""
    return (
        row.function == "cross_entropy"
        and row.reduction == "mean"
        and not row.has_weight
        and not row.label_smoothing
        and not row.input_has_cosines
        and not row.target_dtype.startswith(("float", "bfloat"))
        and (row.num_classes or 0) > 1
    )


def last_layer(step: Trace) -> ModuleRow | None:
    """Return the last module with weights of its own that was called."""
    owners = {row.module for row in step.parameters}
    called = [row for row in step.modules if row.order is not None and row.path in owners]
    return max(called, key=lambda row: row.order or 0, default=None)


def is_built_by_user(step: Trace) -> bool:
    """Tell whether the last layer stands in a module of the user's own class."""
    head = last_layer(step)
    if head is None:
        return False
    parent = head.path.rpartition(".")[0]
    return any(row.is_users for row in step.modules if row.path in (parent, head.path))


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="initial-loss",
    doc=__doc__,
    rules=(OFF,),
    examine=examine,
    experiments=experiments,
    options=Options,
)
