"""Does weight decay move the weights more than what is learned from the data?

## What it measures
Of each matrix with weight decay, at each step of a short run: how far decay shrinks it, beside how
far the gradient moves it. Where decay is apart from the gradient (AdamW, SGD with
`decoupled_weight_decay`), the shrinkage is rate times decay times weight, and what else the step
moved is the gradient's. Where decay is added to the gradient (SGD, Adam), decay times weight stands
beside the gradient. Both are added up over the matrices.

## Why it matters
Where decay is the larger of the two, each step forgets more than it learns: the weights go to zero,
and the loss comes to rest at what a model with small weights can do.

## Known limits
The first steps alone are seen. A run that goes on from trained weights has small gradients, and
late in any training decay and gradient balance each other, so that the two may come close to each
other in a healthy run; it speaks at twice the gradient's part, at every step.

## References
Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, figure, first_location
from traindoctor.trace import OptimizerRow, ParameterRow, StepRow, Trace
from traindoctor_probes._handling import left_by_clipping

DECOUPLED = {"AdamW"}
COUPLED = {"SGD", "Adam", "Adagrad", "RMSprop", "Adamax", "Adadelta"}
TOO_MUCH = 2.0  # times the gradient's part
MIN_STEPS = 3

DOMINATES = Rule(
    code="TD412",
    name="decay-dominates",
    severity=Severity.WARNING,
    title="Weight decay of {decay} moves the weights {ratio} times as far as the gradients do",
    what="A step's decay is larger than what the step learns.",
    why="The weights shrink to zero instead of following the data.",
    known_limits="Judged over the first steps, by torch's own optimizers only. Silent where decay "
    "would not be the larger part without clipping.",
    remedies=(
        Remedy(
            "Lower the weight decay",
            recommended=True,
            pros="0.01 to 0.1 with AdamW, 1e-4 with SGD are what most recipes use.",
            before="torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=100)",
            after="torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)",
        ),
        Remedy(
            "Use AdamW in place of Adam",
            pros="Adam divides decay by the size of the gradient, so that small gradients make it "
            "large.",
            before="torch.optim.Adam(model.parameters(), weight_decay=0.1)",
            after="torch.optim.AdamW(model.parameters(), weight_decay=0.1)",
        ),
    ),
    explains=("TD105", "TD204", "TD408", "TD409", "TD6", "TD712"),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What moved the decayed matrices in one step: roots of sums of squares, in one unit."""

    by_decay: float
    by_gradient: float

    @property
    def ratio(self) -> float:
        """How often the gradient's part goes into decay's."""
        return self.by_decay / max(self.by_gradient, 1e-30)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Set decay beside the gradient at each step."""
    run = ask(ShortRun())
    for optimizer in run.optimizers:
        decay = max(optimizer.weight_decays, default=0.0)
        held = [row for row in run.parameters if is_decayed(row, optimizer)]
        if decay <= 0 or not held or optimizer.class_name not in DECOUPLED | COUPLED:
            continue
        run.require(steps=MIN_STEPS)
        steps = [row for row in run.steps if row.optimizer == optimizer.index]
        parts = [each for step in steps if (each := parts_of(run, optimizer, held, step))]
        ratio = min((each.ratio for each in parts), default=0.0)
        if optimizer.class_name in COUPLED:  # a gradient that clipping made small is clipping's
            ratio *= left_by_clipping(run, optimizer.index)
        if len(parts) >= MIN_STEPS and ratio > TOO_MUCH:
            yield finding(run, optimizer, held, parts)


def is_decayed(row: ParameterRow, optimizer: OptimizerRow) -> bool:
    """Tell whether a parameter is a matrix to which the optimizer applies decay."""
    if row.group is None or row.group[0] != optimizer.index or len(row.shape) < 2:
        return False
    decays = optimizer.weight_decays
    return row.requires_grad and row.group[1] < len(decays) and decays[row.group[1]] > 0


def parts_of(
    run: Trace, optimizer: OptimizerRow, held: list[ParameterRow], step: StepRow
) -> Parts | None:
    """Return what decay and the gradients did to the matrices, or None where nothing was seen."""
    updates = {row.parameter: row for row in run.updates if row.step == step.index}
    # The rows hold weights as a step left them: what it decayed are those that it found.
    sizes = {row.name: row.weight_rms for row in held}
    sizes |= {row.parameter: row.weight_rms for row in run.updates if row.step < step.index}
    gradients = {row.parameter: row for row in run.gradients if row.step == step.index}
    decays, by_decay, by_gradient = optimizer.weight_decays, 0.0, 0.0
    for row in held:
        update, gradient, group = updates.get(row.name), gradients.get(row.name), row.group
        if update is None or gradient is None or gradient.is_none or group is None:
            continue
        if gradient.rms == 0 or group[1] >= len(step.learning_rates):
            continue
        shrinkage = decays[group[1]] * sizes[row.name]
        pull = gradient.rms
        if optimizer.class_name in DECOUPLED:
            shrinkage *= step.learning_rates[group[1]]
            pull = max(update.update_rms**2 - shrinkage**2, 0.0) ** 0.5
        by_decay += row.num_elements * shrinkage**2
        by_gradient += row.num_elements * pull**2
    return Parts(by_decay**0.5, by_gradient**0.5) if by_decay else None


def finding(
    run: Trace, optimizer: OptimizerRow, held: list[ParameterRow], parts: list[Parts]
) -> Finding:
    """Return the finding with both parts of the step at which they are closest."""
    least = min(parts, key=lambda each: each.ratio)
    decay = max(optimizer.weight_decays)
    if optimizer.class_name in DECOUPLED:
        what, unit = "apart from the gradient", "a step's movement"
    else:
        what, unit = "added to the gradient", "the gradient"
    return DOMINATES.finding(
        f"{optimizer.class_name} has a weight decay of {figure(decay)}, {what}. Over "
        f"{counted(len(held), 'matrix').replace('matrixes', 'matrices')}, decay's part of "
        f"{unit} has the norm {figure(least.by_decay)}, the data's {figure(least.by_gradient)}, at "
        f"the step of {len(parts)} where decay is weakest beside it.",
        mechanism="Decay pulls each weight to zero in proportion to its size, whatever the data "
        "say. Where that is the larger pull, the weights settle near zero.",
        location=first_location([optimizer.place, run.setup.factory]),
        evidence=[
            Evidence("decay's part beside the gradient's", least.ratio, "below 1"),
            Evidence("norm of decay's part", least.by_decay),
            Evidence("norm of the gradient's part", least.by_gradient),
            Evidence("weight decay", decay),
        ],
        decay=figure(decay),
        ratio=figure(min(least.ratio, 1e6), 2),
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="weight-decay",
    doc=__doc__,
    rules=(DOMINATES,),
    examine=examine,
    experiments=experiments,
)
