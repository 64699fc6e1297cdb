"""Do the weights stay finite?

## What it measures
Every element of every parameter after each step of a short run, and whether the loss and the
gradients that the step used were finite.

## Why it matters
A NaN in one weight reaches every later output. Training goes on, and learns nothing more.

## Known limits
Only the first steps are seen: weights that overflow at step 10,000 are not. Parameters that no
optimizer holds are not looked at.

## References
torch.optim.Adam: the update divides by `sqrt(v) + eps`, and v is zero for a zero gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location, grouped
from traindoctor.trace import Trace

WEIGHTS = Rule(
    code="TD418",
    name="weights-not-finite",
    severity=Severity.CRITICAL,
    title="{num_ruined} of {num_parameters} parameters are not finite after step {step}",
    what="Parameters hold NaN or infinities after an optimizer step.",
    why="Every later output is NaN. Training cannot recover from it; only a checkpoint can.",
    known_limits="Only the first steps are seen.",
    remedies=(
        Remedy(
            "Keep the optimizer's denominator above zero",
            recommended=True,
            pros="A parameter whose gradient is zero then stays where it is.",
            cons="None; 1e-8 is the default.",
            before="torch.optim.AdamW(model.parameters(), lr=..., eps=0.0)",
            after="torch.optim.AdamW(model.parameters(), lr=...)",
        ),
        Remedy(
            "Lower the learning rate, or clip the gradients' norm",
            pros="Helps where the weights grew step by step before they overflowed.",
            after="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        ),
    ),
    explains=("TD6", "TD806"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for the first step that left a parameter not finite."""
    run = ask(ShortRun())
    run.require(steps=1)
    step = min((row.step for row in run.updates if row.num_not_finite), default=None)
    if step is not None:
        yield ruined_by(run, step)


def ruined_by(run: Trace, step: int) -> Finding:
    """Return the finding for parameters that a step ruined."""
    ruined = [row for row in run.updates if row.step == step and row.num_not_finite]
    gradients = {row.parameter: row for row in run.gradients if row.step == step}
    bad_gradients = [r for r in gradients.values() if r.num_not_finite]
    finite_loss = all(math.isfinite(row.value) for row in run.losses if row.step <= step)
    by_step = finite_loss and not bad_gradients
    zero = [r for r in ruined if (g := gradients.get(r.parameter)) and g.share_zero > 0]
    optimizer = run.optimizers[0].class_name if run.optimizers else "the optimizer"
    return WEIGHTS.finding(
        f"{grouped(row.parameter for row in ruined)}: "
        f"{sum(row.num_not_finite for row in ruined):,} elements are NaN or infinite after "
        f"step {step}. {before(finite_loss, bool(bad_gradients), optimizer)}",
        mechanism=(
            f"{optimizer} divides by a running mean of the gradient. "
            f"{len(zero)} of these tensors had elements with a gradient of exactly "
            "zero: with no eps in the denominator that is 0/0."
            if by_step and zero
            else "The update was computed from values that were not finite, or it overflowed."
        ),
        location=first_location(
            [
                *(row.place for row in run.optimizers if by_step),
                *(row.place for row in run.steps if row.index == step),
                run.setup.factory,
            ]
        ),
        evidence=[
            Evidence("parameters ruined", len(ruined), 0),
            Evidence("elements not finite", sum(row.num_not_finite for row in ruined), 0),
            Evidence("losses until then finite", finite_loss, True),
            Evidence("gradients not finite at that step", len(bad_gradients), 0),
            Evidence("tensors with zero gradients among them", len(zero)),
        ],
        explains=(*(("TD102", "TD203", "TD408") if by_step and zero else ()), *WEIGHTS.explains),
        num_ruined=len(ruined),
        num_parameters=len({row.parameter for row in run.updates}),
        step=step,
    )


def before(finite_loss: bool, bad_gradients: bool, optimizer: str) -> str:
    """Say what the step was given."""
    if not finite_loss:
        return "The loss was not finite before it."
    if bad_gradients:
        return "The loss was finite, the gradients that the step used were not."
    return f"Loss and gradients were finite: the update of {optimizer} itself made it."


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="weights-finite",
    doc=__doc__,
    rules=(WEIGHTS,),
    examine=examine,
    experiments=experiments,
)
