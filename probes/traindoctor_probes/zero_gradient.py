"""Is a gradient exactly zero, step after step, and which operation makes it so?

## What it measures
Parameters whose gradient is there and exactly zero in every element at every step after the first
two of a short run. A follow-up replays the run and watches each node of the graph: the operation
that is handed a gradient and hands on nothing but zeros is the cause.

## Why it matters
A zero is as good as no gradient, and harder to see: nothing is None, nothing is NaN.

## Known limits
Speaks only where the operation was called by the user's own code and is a multiplication by a
constant zero, a ReLU or clamp that no value passes, a saturated sigmoid or tanh, a rounding, or
an `autograd.Function` of the user's with a backward that returns zeros.
Zeros by cancellation (keys of one-token attention, biases before a norm, normalised top-1 routers),
of loss terms with weight 0, of all-zero masks (experts that got no token) and of gains that are
trained themselves are healthy and silent.

## References
Lu et al. 2019, "Dying ReLU and Initialization".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, LocateZeroGradient, ShortRun
from traindoctor.probing import (
    Ask,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import counted, grouped, location
from traindoctor.trace import OperationRow, ParameterRow, Trace
from traindoctor_probes._unreached import is_meant_to_train

ZERO = Rule(
    code="TD202",
    name="zero-gradient",
    severity=Severity.ERROR,
    title="The gradient of {num_zero} of {num_trainable} trainable parameters is exactly zero",
    what="A gradient is zero in every element and at every step, because one operation of the "
    "user's code lets nothing through.",
    why="The parameters behind that operation do not learn.",
    known_limits="Zeros of the first two steps (zero-initialised last layers, LoRA) are not "
    "judged. Silent where no operation of the user's own code was found to make the zeros.",
    remedies=(
        Remedy(
            "Let the gradient through at that operation",
            recommended=True,
            before="x = x + 1 // depth * layer(x)",
            after="x = x + layer(x) / depth",
        ),
        Remedy(
            "Use an activation that passes a gradient on both sides",
            pros="Units cannot die.",
            before="F.relu(x)",
            after="F.leaky_relu(x)",
        ),
    ),
    explains=("TD103", "TD214", "TD405", "TD409", "TD6", "TD712", "TD714"),
)
WARM_UP = 2  # steps after which zero-initialised layers have moved
BLOCKED = {
    "Relu": "no value passes the ReLU: all of them are below zero",
    "Threshold": "no value passes the threshold",
    "Hardtanh": "every value lies outside the range that passes a gradient",
    "Clamp": "every value lies outside the range of the clamp",
    "ClampMin": "every value lies below the clamp",
    "ClampMax": "every value lies above the clamp",
    "Sigmoid": "the sigmoid is saturated: its slope is zero in floating point",
    "Tanh": "tanh is saturated: its slope is zero in floating point",
    "Round": "rounding has no slope",
    "Floor": "rounding down has no slope",
    "Ceil": "rounding up has no slope",
    "Trunc": "truncation has no slope",
    "Sign": "the sign has no slope",
}
NO_VALUES = ((0,), ())
USERS = "a backward of the user's own"  # the note of such an operation


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Find gradients that stay zero, and the operation that makes them so."""
    run = ask(ShortRun())
    run.require(steps=WARM_UP + 1)
    zero = always_zero(run)
    if not zero or run.losses[-1].value == 0:
        return
    batch = run.steps[-1].batch
    names = tuple(row.name for row in zero)
    located = ask(LocateZeroGradient(names, batch))
    everything = len(zero) == sum(is_meant_to_train(row, run) for row in run.parameters)
    culprits = [row for row in located.operations if is_culprit(row, everything)]
    if culprits:
        yield blocked(culprits, zero, run)


def always_zero(run: Trace) -> list[ParameterRow]:
    """Return what the user's optimizer holds and what has a gradient of nothing but zeros."""
    later = [row for row in run.gradients if row.step >= WARM_UP]
    alive = {row.parameter for row in later if row.is_none or row.rms != 0 or row.num_not_finite}
    seen = {row.parameter for row in later}
    return [
        row
        for row in run.parameters
        if row.name in seen and row.name not in alive and is_meant_to_train(row, run)
    ]


def is_culprit(row: OperationRow, everything: bool) -> bool:
    """Tell an operation of the user's that blocks a gradient for no good reason.

    A factor must be one constant number, and what it multiplies an activation: a loss term
    with weight 0 is somebody's choice, unless nothing else is trained.
    """
    if not row.place:
        return False
    if row.note == USERS:
        return True
    if row.operation != "Mul":
        return row.operation in BLOCKED
    *zeroed, factor = row.input_shapes or NO_VALUES
    is_constant = row.input_minimum == row.input_maximum == 0 and _size(factor) == 1
    is_activation = any(_size(shape) > 1 for shape in zeroed)
    return (
        is_constant
        and not row.note.startswith("the other factor")
        and (is_activation or everything)
    )


def blocked(culprits: Sequence[OperationRow], zero: Sequence[ParameterRow], run: Trace) -> Finding:
    """Return the finding for the operations that let nothing through."""
    first = culprits[0]
    behind = {name for row in culprits for name in row.parameters}
    rows = [row for row in zero if row.name in behind]
    why = BLOCKED.get(first.operation, "it is multiplied by a constant that is 0")
    if first.note == USERS:
        why = f"the backward of {first.operation} returns zeros"
    names = grouped(row.name for row in rows)
    places = dict.fromkeys(row.place for row in culprits[1:] if row.place != first.place)
    steps = len(run.steps) - WARM_UP
    return ZERO.finding(
        f"{names} have gradients that are exactly zero in every element, at each of the last "
        f"{counted(steps, 'step')}: {why}.",
        mechanism=f"The backward pass brings a gradient to this line, and only zeros leave it: "
        f"{why}. Everything behind it is left as it is.",
        location=location(first.place),
        also_at=[location(place) for place in places],
        evidence=[
            Evidence("parameters with zero gradient", len(rows), 0),
            Evidence("their elements", sum(row.num_elements for row in rows)),
            Evidence("steps with nothing but zeros", steps, 0),
            *(
                [
                    Evidence(f"smallest value at {first.operation}", first.input_minimum),
                    Evidence(f"largest value at {first.operation}", first.input_maximum),
                ]
                if first.input_minimum is not None
                else []
            ),
        ],
        subject=names,
        num_zero=len(rows),
        num_trainable=sum(row.requires_grad for row in run.parameters),
    )


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="zero-gradient",
    doc=__doc__,
    rules=(ZERO,),
    examine=examine,
    experiments=experiments,
)
