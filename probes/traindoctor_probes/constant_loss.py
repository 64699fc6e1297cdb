"""Does the loss depend on what it is given?

## What it measures
The losses of a short run over different batches: whether they are one number, to four units in
the last place, and whether every gradient at every step was exactly zero. Where no batch came to
a loss, because a handler of the user's caught what it raised: whether the loop reports a total that
nothing was ever added to. Where gradients are not zero and the weights move: whether the one number
is ln 2, which is what the comparison of two equal scores costs.

## Why it matters
A loss that is the same for every batch and every state of the weights has no slope: nothing can
be learned from it. 0.0 looks like success in a log.

## Known limits
Fewer than five different batches say nothing. A loss that stays at its floor because all is
learned is left alone where the floor is known. A loss whose value is constant and whose gradient
is not (a ratio of a loss to itself, a policy's first update) is healthy, and not reported unless it
is ln 2.

## References
Karpathy, "A Recipe for Training Neural Networks": the loss at initialisation is a check.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import replace

from traindoctor.experiments import Experiment, OneStep, ReadSource, ShortRun
from traindoctor.experiments.floors import floor_of
from traindoctor.probing import (
    Ask,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Series,
    Severity,
)
from traindoctor.probing.syntax import Function, calls, function_at, parts
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import Place, Trace
from traindoctor_probes.loss_accounting import additions

NUM_BATCHES = 5  # fewer equal losses may be chance
ULP = 4 * 2.0**-23  # four units in the last place of a float32, relative
MOVING = 1e-5  # of the weights
COMPARISONS = ("logsigmoid", "softplus")  # what two scores are compared by

OTHER_SCORE = Remedy(
    "Compare with the other answer, or with a copy of the model from before",
    recommended=True,
    after="reference = copy.deepcopy(model).eval().requires_grad_(False)",
)

CONSTANT = Rule(
    code="TD103",
    name="constant-loss",
    severity=Severity.CRITICAL,
    title="{what} for each of {num_batches} different batches",
    what="The loss is the same number whatever the batch and the weights are.",
    why="A constant has no gradient: every step changes nothing.",
    known_limits="Needs five different batches. A loss at its known floor is left alone.",
    remedies=(
        Remedy(
            "Look for the factor or the mask that removes every element",
            recommended=True,
            pros="A mask that is never true and an integer division give 0.0 without a warning.",
            before="loss = (losses * (labels < 0)).mean()",
            after="keep = labels >= 0\nloss = losses[keep].mean()",
        ),
        Remedy(
            "Compute the loss from the model's output of this batch",
            pros="Right where a constant, or a value kept from before, was used instead.",
        ),
    ),
    explains=("TD201", "TD202", "TD204", "TD206", "TD405", "TD409", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare the losses of different batches."""
    run = ask(ShortRun())
    empty = empty_total(ask, run)
    if empty is not None:
        yield empty
        return
    values = [row.value for row in run.losses]
    if len(values) < NUM_BATCHES:
        run.require(losses=NUM_BATCHES)
    num_different = len({row.digest for row in run.batches if row.digest})
    if num_different < NUM_BATCHES or not is_constant(values):
        return
    if has_slope(run):
        if is_of_equal_scores(values) and num_moving(run) >= NUM_BATCHES - 1:
            yield equal_scores(ask, run, num_different)
        return
    criteria = ask(OneStep()).criteria
    floor = floor_of(criteria, values[0])
    if floor.value is not None and values[0] - floor.value <= 1e-6:
        return
    value = figure(values[0], 6)
    called = [row for row in criteria if row.value is not None]
    yield CONSTANT.finding(
        f"{counted(len(values), 'loss')} over {num_different} different batches are all {value}, "
        f"and {zero_steps(run)}."
        + (
            f" `{called[-1].function}`, which it is computed from, gave "
            f"{figure(called[-1].value)} for the first of them."
            if called
            else ""
        ),
        mechanism="Something between the model's output and the loss gives the same number for "
        "every input: a mask that keeps nothing, a factor of zero, a rounding, a value that "
        "was computed before.",
        location=first_location(
            [
                *(row.place for row in reversed(called)),
                *(row.place for row in run.losses),
                *(row.place for row in run.backwards),
                run.setup.factory,
            ]
        ),
        evidence=[
            Evidence("loss", values[0], "different for each batch"),
            Evidence("largest difference between two losses", max(values) - min(values), "> 0"),
            Evidence("different batches", num_different),
            Evidence("largest gradient norm", largest_norm(run), "> 0"),
        ],
        series=[Series("loss", tuple(range(len(values))), tuple(values))],
        what=f"The loss is {value}",
        num_batches=num_different,
    )


def equal_scores(ask: Ask, run: Trace, num_batches: int) -> Finding:
    """Return the finding for a comparison whose two sides are always equal."""
    called = [place for place, _ in calls(ask(ReadSource()).source, *COMPARISONS)]
    places = [*(row.place for row in run.losses), *(row.place for row in run.backwards)]
    return CONSTANT.finding(
        f"{counted(len(run.losses), 'loss')} over {num_batches} different batches are all ln 2, "
        f"which is what comparing two equal scores costs. The weights moved in {num_moving(run)} "
        "steps: both scores move alike.",
        mechanism="The two scores are of one input, or of one model: the chosen answer read twice, "
        "or a reference that is the policy itself. Their difference is 0 whatever is learned.",
        location=first_location([*(called if len(called) == 1 else ()), *places]),
        evidence=[
            Evidence("loss", run.losses[0].value, "different for each batch"),
            Evidence("ln 2", math.log(2)),
            Evidence("different batches", num_batches),
            Evidence("steps in which the weights moved", num_moving(run), 0),
        ],
        remedies=(OTHER_SCORE, replace(CONSTANT.remedies[1], recommended=False)),
        what="The loss is ln 2",
        num_batches=num_batches,
    )


def is_of_equal_scores(values: list[float]) -> bool:
    """Tell losses that are -log sigmoid(0)."""
    return is_constant([*values, math.log(2)])


def num_moving(run: Trace) -> int:
    """Count the steps that moved the weights by more than rounding."""
    return len({row.step for row in run.updates if row.update_rms > MOVING * row.weight_rms})


def empty_total(ask: Ask, run: Trace) -> Finding | None:
    """Return the finding for a total of losses that a loop without any backward pass reports."""
    caught = [row for row in run.handled if any(batch >= 0 for batch in row.batches)]
    is_idle = bool(caught) and not (run.losses or run.backwards or run.exceptions)
    num_different = len({row.digest for row in run.batches if row.digest})
    if not is_idle or run.facts.get("moved") or num_different < NUM_BATCHES:
        return None
    loop = next((place for place in run.facts.get("loop_places", ()) if place), Place())
    source = ask(ReadSource()).source
    function = function_at(source, loop)
    for node in additions(function) if function else ():
        ran = any(row.place.line == node.lineno for row in run.counts)
        start = initial_value(function, node) if function else None
        if ran or start is None or "loss" not in ast.unparse(node.value).lower():
            continue
        total = ast.unparse(node.target)
        place = Place(loop.file, node.lineno, loop.function, ast.unparse(node))
        return CONSTANT.finding(
            f"`{place.text}` did not run once in {counted(len(run.batches), 'batch')}, and "
            f"`{total}` starts at {start}: that is the loss which the loop reports.",
            mechanism="A total that nothing is added to keeps the value that it starts with, and "
            "a mean of no losses is as good as perfect.",
            location=location(place),
            evidence=[
                Evidence("times the line ran", 0, len(run.batches)),
                Evidence("loss that is reported", start, "different for each batch"),
                Evidence("backward passes", 0, len(run.batches)),
            ],
            what=f"`{total}` stays at {start}",
            num_batches=num_different,
        )
    return None


def initial_value(function: Function, added: ast.AugAssign) -> float | None:
    """Return the number that a total is set to before a line adds to it, if it is one."""
    names = ast.unparse(added.target)
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or node.lineno >= added.lineno:
            continue
        pairs = zip(parts(node.targets[0]), parts(node.value), strict=False)
        for target, value in pairs:
            if ast.unparse(target) == names and isinstance(value, ast.Constant):
                return float(value.value) if isinstance(value.value, int | float) else None
    return None


def is_constant(values: list[float]) -> bool:
    """Tell whether numbers are one but for rounding."""
    return max(values) - min(values) <= ULP * max(abs(value) for value in values)


def has_slope(run: Trace) -> bool:
    """Tell whether any parameter ever got a gradient that is not zero."""
    return any(row.rms > 0 or row.num_not_finite for row in run.gradients)


def zero_steps(run: Trace) -> str:
    """Say that there was no gradient, in the words that fit."""
    if not run.steps:
        return "no step followed"
    return f"every gradient of {counted(len(run.steps), 'step')} is exactly zero"


def largest_norm(run: Trace) -> float:
    """Return the largest norm of all gradients at a step."""
    return max((row.gradient_norm or 0.0 for row in run.steps), default=0.0)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; one step follows where the loss is constant."""
    return (ShortRun(),)


probe = Probe(
    name="constant-loss",
    doc=__doc__,
    rules=(CONSTANT,),
    examine=examine,
    experiments=experiments,
)
