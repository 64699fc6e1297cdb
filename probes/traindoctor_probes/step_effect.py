"""Does a step change the weights?

## What it measures
How many parameters each optimizer step changes, bit for bit, and whether they are as before when
the next step comes; with the learning rates and gradients that the step had.

## Why it matters
A loop may look complete - forward, backward, step - and move nothing.

## Known limits
Speaks only if every observed step of an optimizer is without effect. A warm-up whose rate is 0 for
longer than the short run is reported. LBFGS, which stops by itself where gradients or changes are
below its tolerances, is judged only at a rate of 0 and where gradients are missing or zero. Updates
that are rounded away in low precision are reported as such only if no element at all changes.

## References
torch.optim documentation, "How to adjust learning rate".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls, function_at
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import Place, SourceRow, StepRow, Trace

NOTHING = Rule(
    code="TD405",
    name="step-changes-nothing",
    severity=Severity.CRITICAL,
    title="{num_steps} optimizer steps leave every weight as it was: {why}",
    what="`step` is called, and the parameters are bit for bit the same after it, or before the "
    "next one.",
    why="Nothing is learned, whatever the loss says.",
    known_limits="A learning rate that is zero on purpose for the first steps of a long warm-up "
    "looks the same. With a gradient scaler, steps that it skips are not counted.",
    remedies=(
        Remedy(
            "Give the optimizer a learning rate above zero",
            recommended=True,
            before="torch.optim.AdamW(model.parameters(), lr=0.0)",
            after="torch.optim.AdamW(model.parameters(), lr=3e-4)",
        ),
    ),
    explains=("TD103", "TD409", "TD6"),
)
RESTORERS = ("load_state_dict", "copy_", "vector_to_parameters", "set_", "swap_tensors", "restore")
RATE, NO_GRADIENT, ZERO, RESTORED, ROUNDED = (
    "the learning rate is 0",
    "there are no gradients",
    "the gradients are zero",
    "the weights are put back",
    "the updates are too small for the weights' precision",
)
MIN_STEPS = 3
REMEDIES = {
    RESTORED: Remedy(
        "Restore the weights only when training is over",
        recommended=True,
        before="optimizer.step()\nmodel.load_state_dict(checkpoint)",
        after="optimizer.step()",
    ),
    ZERO: Remedy(
        "Look for what multiplies every gradient by zero",
        recommended=True,
        pros="Two factors that both start at zero keep each other there.",
    ),
    NO_GRADIENT: Remedy(
        "Let the loss reach what the optimizer holds",
        recommended=True,
        pros="See the other findings for where the gradients end.",
    ),
    ROUNDED: Remedy(
        "Keep the weights in float32, or raise the learning rate",
        recommended=True,
        after="model.float()",
    ),
}


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each optimizer's steps."""
    run = ask(ShortRun())
    run.require(steps=1)
    numbers = sorted({step.optimizer for step in run.steps})
    for number in numbers:
        steps = [step for step in run.steps if step.optimizer == number]
        why = reason(steps, run)
        if why is None or (why == ROUNDED and stops_by_itself(run, number)):
            continue
        source = ask(ReadSource()).source if why == RESTORED else ()
        yield without_effect(run, steps, why, source, alone=len(numbers) == 1)


def reason(steps: Sequence[StepRow], run: Trace) -> str | None:
    """Return why these steps have no effect, or None where one has or too few were seen."""
    enough = min(MIN_STEPS, run.setup.num_batches or MIN_STEPS)
    if len(steps) < enough or not any(step.num_held for step in steps):
        return None
    if all(step.num_changed and step.num_reverted >= step.num_changed for step in steps[1:]):
        moved = run.facts.get("moved")
        return RESTORED if len(steps) >= MIN_STEPS and not moved else None
    if any(step.num_changed != 0 for step in steps):
        return None
    if all(not any(step.learning_rates) for step in steps if step.learning_rates):
        return RATE
    if all(step.num_gradients == 0 for step in steps):
        return NO_GRADIENT
    if all(step.num_gradients == step.num_zero_gradients for step in steps):
        return ZERO
    return ROUNDED


def stops_by_itself(run: Trace, number: int) -> bool:
    """Tell whether an optimizer steps only while it is not at its goal: LBFGS has tolerances."""
    return any("LBFGS" in row.class_name for row in run.optimizers if row.index == number)


def without_effect(
    run: Trace, steps: Sequence[StepRow], why: str, source: Sequence[SourceRow], *, alone: bool
) -> Finding:
    """Return the finding for one optimizer."""
    optimizer = next((row for row in run.optimizers if row.index == steps[0].optimizer), None)
    name = optimizer.class_name if optimizer else "The optimizer"
    step = steps[0]
    rates = sorted({rate for row in steps for rate in row.learning_rates})
    built = optimizer.place if optimizer else Place()
    places = {
        RATE: [built, step.place],
        RESTORED: [restoring_line(step.place, source), step.place],
    }.get(why, [step.place, built])
    after = (
        "each of them was undone before the next"
        if why == RESTORED
        else f"none of {counted(step.num_held, 'parameter')} differs in a single bit"
    )
    return NOTHING.finding(
        f"{name} took {counted(len(steps), 'step')} with learning rate "
        f"{', '.join(figure(rate) for rate in rates) or 'unknown'}; {after}.",
        severity=None if alone else Severity.ERROR,
        mechanism=_mechanism(why),
        location=first_location([*places, run.setup.factory]),
        also_at=[location(step.place)] if step.place and why == RATE and built else [],
        evidence=[
            Evidence("parameters changed by the first step", step.num_changed, step.num_held),
            Evidence("of those, put back before the next step", steps[-1].num_reverted, 0),
            Evidence("learning rate", max(rates, default=None)),
            Evidence("gradients at the first step", step.num_gradients, step.num_held),
            Evidence("of those, all zero", step.num_zero_gradients, 0),
        ],
        remedies=[REMEDIES[why]] if why in REMEDIES else None,
        explains=() if why in (NO_GRADIENT, ZERO) else None,
        subject=f"optimizer {step.optimizer}",
        num_steps=len(steps),
        why=why,
    )


def _mechanism(why: str) -> str:
    return {
        RATE: "Every update is multiplied by the learning rate. At 0 the optimizer does all its "
        "work and adds nothing; weight decay is multiplied by it too.",
        NO_GRADIENT: "An optimizer skips each parameter whose gradient is None.",
        ZERO: "Without momentum or weight decay a zero gradient makes a zero update.",
        RESTORED: "The step changes the weights, and code that runs after it writes the old "
        "values back.",
        ROUNDED: "An update smaller than half the distance to the next representable number "
        "rounds away, and the weight keeps its value.",
    }[why]


def restoring_line(step: Place, source: Sequence[SourceRow]) -> Place:
    """Return the call after the step, in the same function, that writes weights back."""
    function = function_at(source, step)
    if function is None:
        return Place()
    for place, _ in calls(source, *RESTORERS):
        inside = function.lineno <= (place.line or 0) <= (function.end_lineno or 0)
        if place.file == step.file and inside and (place.line or 0) > (step.line or 0):
            return place
    return Place()


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="step-effect",
    doc=__doc__,
    rules=(NOTHING,),
    examine=examine,
    experiments=experiments,
)
