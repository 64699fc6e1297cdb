"""Does each step come after the backward pass of its batch?

## What it measures
For every optimizer step of a short run: was there a loss at that time that was differentiated only
later, and had no backward pass come in between? Autograd numbers its operations, so that a loss
tells whether it was made before a step.

## Why it matters
A step between the forward and the backward pass uses the gradients of another batch, or none at
all, and changes the weights that the backward pass is about to use.

## Known limits
A step at the start of the next iteration, before its forward pass, is the same loop written from
another end, and healthy; so are closures (LBFGS), accumulation, and several losses of which each
is stepped on in turn. A loss that another thread computes is numbered apart and cannot be judged.

## References
torch.optim documentation, "Taking an optimization step".
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import HandlingRow, Trace
from traindoctor_probes._handling import is_most, require_instruments

TOO_EARLY = Rule(
    code="TD411",
    name="step-before-backward",
    severity=Severity.ERROR,
    title="{num_late} of {num_steps} optimizer steps come before the backward pass of their batch",
    what="The step stands between the forward and the backward pass of a batch.",
    why="It finds no gradients, or those of the batch before; the backward pass then runs through "
    "weights that are not those of its forward pass, and most models raise an error there.",
    known_limits="Only losses that are differentiated in the thread that computes them.",
    remedies=(
        Remedy(
            "Step after the backward pass",
            recommended=True,
            before="loss = criterion(model(x), y)\noptimizer.step()\nloss.backward()",
            after="loss = criterion(model(x), y)\nloss.backward()\noptimizer.step()",
        ),
    ),
    explains=("TD103", "TD2", "TD303", "TD404", "TD405", "TD409", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each optimizer's steps."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    require_instruments(run)
    run.require(steps=1)
    for row in run.handling:
        if is_most(row.num_late, row.num_steps) or (row.num_late and was_overtaken(run, row)):
            yield too_early(run, row)


def was_overtaken(run: Trace, row: HandlingRow) -> bool:
    """Tell whether the run ended because weights were changed under a backward pass."""
    changed = any("modified by an inplace operation" in e.message for e in run.exceptions)
    return changed and row.num_steps <= row.num_late + 1


def too_early(run: Trace, row: HandlingRow) -> Finding:
    """Return the finding for steps before their backward pass."""
    steps = [step for step in run.steps if step.optimizer == row.optimizer]
    empty = sum(step.num_gradients == step.num_zero_gradients for step in steps)
    raised = run.exceptions[0] if run.exceptions else None
    found = f"{empty} of {counted(len(steps), 'step')} found no gradient other than zero"
    return TOO_EARLY.finding(
        f"`{row.place.text}` ran {counted(row.num_late, 'time')} between the making of a loss and "
        f"its backward pass on line {row.backward_place.line}; {found}.",
        mechanism="The optimizer uses what the gradients hold when it is called: what an earlier "
        "batch left, or nothing where they are cleared first. This batch's gradients come with its "
        "backward pass, after the step."
        + (" That pass needs the weights of its forward pass, which are gone." if raised else ""),
        location=first_location([row.place, run.setup.factory]),
        also_at=[location(row.backward_place)] if row.backward_place else [],
        evidence=[
            Evidence("steps between a loss and its backward pass", row.num_late, 0),
            Evidence("steps observed", row.num_steps),
            Evidence("steps without a gradient other than zero", empty, 0),
        ],
        quote=raised.message if raised else "",
        num_late=row.num_late,
        num_steps=row.num_steps,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="step-order",
    doc=__doc__,
    rules=(TOO_EARLY,),
    examine=examine,
    experiments=experiments,
)
