"""Do the numbers of half precision suffice for what is computed in it?

## What it measures
Autocast to float16 in steps that no gradient scaler takes part in, with the parameters whose
gradient lies below what float16 holds in full; and parameters in float16 whose optimizer adds an
epsilon that is zero in float16.

## Why it matters
float16 ends at 6e-8: gradients below that are zero, and below 6e-5 they lose digits. A scaler moves
them into range. Adam divides by the root of a running square plus epsilon: of a small gradient both
are zero in float16, and zero by zero is NaN.

## Known limits
A loss that is scaled by hand is not recognised. Where no gradient is small yet, an autocast without
scaler is information alone.

## References
Micikevicius et al. 2018, "Mixed Precision Training". PyTorch, torch.amp: gradient scaling.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ShortRun
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
from traindoctor.probing.wording import figure, first_location, grouped
from traindoctor.trace import AutocastRow, OptimizerRow, ParameterRow, Trace

SMALLEST_NORMAL = 2.0**-14  # of float16
ROUNDS_TO_ZERO = 2.0**-25  # half of its smallest number

HAZARD = Rule(
    code="TD711",
    name="half-precision-hazard",
    severity=Severity.WARNING,
    title="float16 {what}",
    what="float16 is used where its range is too small, without what keeps numbers in it.",
    why="Small gradients become zero or lose their digits, or an update becomes NaN.",
    known_limits="Scaling by hand is not recognised.",
    remedies=(
        Remedy(
            "Use bfloat16",
            recommended=True,
            pros="It has the range of float32, and needs no scaler.",
            cons="Fewer digits; not on every device.",
            before="torch.autocast(device, dtype=torch.float16)",
            after="torch.autocast(device, dtype=torch.bfloat16)",
        ),
        Remedy(
            "Scale the loss",
            pros="Gradients stay in range, and steps with infinities are skipped.",
            before="loss.backward()\noptimizer.step()",
            after="scaler.scale(loss).backward()\nscaler.step(optimizer)\nscaler.update()",
        ),
    ),
    explains=("TD102", "TD202", "TD203", "TD405", "TD409", "TD418", "TD6"),
)
MASTER = Remedy(
    "Keep the weights in float32, and compute in half precision under autocast",
    recommended=True,
    pros="Updates and the optimizer's state have their digits and their range.",
    before="model = Net().half()",
    after="model = Net()\nwith torch.autocast(device, torch.bfloat16):\n    loss = step(model)",
)
EPSILON = Remedy(
    "Give the optimizer an epsilon that float16 holds",
    before="torch.optim.Adam(model.parameters())",
    after="torch.optim.Adam(model.parameters(), eps=1e-4)",
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at what autocast lowers, and at what optimizers divide by."""
    run = ask(ShortRun())
    is_scaled = run.setup.has_scaler or bool(run.scalers)
    lowered = [row for row in run.autocasts if row.dtype == "float16" and row.num_low]
    if lowered and run.steps and not is_scaled:
        yield unscaled(lowered[0], run)
    for optimizer in run.optimizers:
        held = divided_by_zero(optimizer, run)
        if held:
            yield zero_epsilon(optimizer, held, run)


def divided_by_zero(optimizer: OptimizerRow, run: Trace) -> list[ParameterRow]:
    """Return the float16 parameters in groups whose epsilon is zero in float16."""
    groups = {
        (optimizer.index, number)
        for number, epsilon in enumerate(optimizer.epsilons)
        if 0 < epsilon < ROUNDS_TO_ZERO
    }
    held = (row for row in run.parameters if row.dtype == "float16" and row.requires_grad)
    return [row for row in held if row.group in groups]


def unscaled(row: AutocastRow, run: Trace) -> Finding:
    """Return the finding for an autocast without a scaler."""
    first = [g for g in run.gradients if g.step == 0 and not g.is_none and g.rms > 0]
    small = [g for g in first if g.rms < SMALLEST_NORMAL]
    least = min((g.rms for g in first), default=None)
    return HAZARD.finding(
        f"{row.num_low} layer calls computed in float16, and no scaler scaled the loss. The "
        f"gradients of {len(small)} of {len(first)} parameters are below {SMALLEST_NORMAL:.1g} "
        f"(RMS) in the first step, the smallest is {figure(least)}.",
        severity=None if small else Severity.INFO,
        confidence=Confidence.LIKELY,
        mechanism="The backward pass of a layer in float16 is in float16 as well. What is smaller "
        "than its smallest numbers is rounded to zero on the way, before it reaches the weights.",
        location=first_location([row.place]),
        evidence=[
            Evidence("gradients below the range of float16 in full", len(small), 0),
            Evidence("smallest gradient (RMS)", least, f"above {SMALLEST_NORMAL:.1g}"),
            Evidence("scalers", 0, 1),
        ],
        subject="scaler",
        what="is computed in without a gradient scaler",
    )


def zero_epsilon(optimizer: OptimizerRow, held: list[ParameterRow], run: Trace) -> Finding:
    """Return the finding for an epsilon that vanishes."""
    epsilon = min(optimizer.epsilons)
    return HAZARD.finding(
        f"{optimizer.class_name} holds {grouped(row.name for row in held)} in float16, and its "
        f"epsilon of {figure(epsilon)} is zero there.",
        mechanism="The running square of a gradient below 2e-4 is zero in float16, and so is this "
        "epsilon. The update divides by their sum: infinite, or NaN where the gradient is zero.",
        location=first_location([optimizer.place, run.setup.model_place]),
        evidence=[
            Evidence("epsilon in float16", 0.0, figure(epsilon)),
            Evidence("parameters in float16", len(held), 0),
        ],
        remedies=(MASTER, EPSILON),
        subject=f"epsilon {optimizer.index}",
        what=f"weights are updated by {optimizer.class_name} with an epsilon that is 0",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="half-precision",
    doc=__doc__,
    rules=(HAZARD,),
    examine=examine,
    experiments=experiments,
)
