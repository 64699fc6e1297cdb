"""Does the loss stay finite?

## What it measures
The losses of a short run. Where one is not finite the steps are replayed with each operation's
output checked, and the first operation that makes a NaN or an infinity from finite values is
named, with the range of its input.

## Why it matters
One NaN in the loss makes every gradient NaN, and one step then makes every weight NaN. From
there on nothing can be trained, and a filter in the logging may hide it.

## Known limits
Only the first batches are seen: a NaN at step 10,000 is not. The replay follows forward
operations that Python calls; one inside a compiled or scripted part has no line. In a watched run
only the first step is seen by operation. Of a later one the model's last call is run again and the
loss's graph is read; where that tells nothing, the step after it is seen by operation, as far as
its weights are still finite.

## References
IEEE 754: what 0/0, inf - inf and log of a negative number give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from traindoctor.experiments import Experiment, LocateNonFinite, ShortRun
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
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import OperationRow, Trace

LOSS = Rule(
    code="TD102",
    name="loss-not-finite",
    severity=Severity.CRITICAL,
    title="The loss is {value} at {when}",
    what="The loss is NaN or infinite.",
    why="Its gradients are not finite either; the first step with them ruins every weight.",
    known_limits="Only the first batches are seen. Code that Python does not call has no line.",
    remedies=(
        Remedy(
            "Keep the operation's input inside its domain",
            recommended=True,
            pros="The loss and its gradient are finite for every batch.",
            before="loss = (x / total).log().mean()",
            after="loss = (x / total.clamp(min=1e-6)).clamp(min=1e-6).log().mean()",
        ),
        Remedy(
            "Use the fused function where there is one",
            pros="`log_softmax`, `logsumexp` and BCE-with-logits cannot overflow.",
            before="loss = -softmax(logits, dim=1).log()[rows, targets].mean()",
            after="loss = F.cross_entropy(logits, targets)",
        ),
    ),
    explains=("TD6", "TD806"),
)
WHY = {
    "log": "has no value below 0, and is -inf at 0",
    "log2": "has no value below 0, and is -inf at 0",
    "log10": "has no value below 0, and is -inf at 0",
    "log1p": "has no value below -1, and is -inf at -1",
    "sqrt": "has no value below 0",
    "rsqrt": "has no value below 0, and is infinite at 0",
    "div": "divides by zero: 0/0 is NaN, anything else over 0 is infinite",
    "__truediv__": "divides by zero: 0/0 is NaN, anything else over 0 is infinite",
    "reciprocal": "divides by zero",
    "softmax": "has no value for a row that is -inf throughout: all of it is masked",
    "exp": "overflows float32 above 88.7 and float16 above 11",
    "mean": "of an empty tensor is 0/0",
    "acos": "has no value outside -1 to 1",
    "asin": "has no value outside -1 to 1",
    "atanh": "has no finite value at -1 and 1, and none outside",
    "kl_div": "takes the logarithm of its target, which has none below 0: the target is to be a "
    "distribution, as `softmax` makes it",
    "xlogy": "takes a logarithm, which has no value below 0",
    "pow": "has no value for a negative base and a fractional exponent",
}
UNKNOWN = {
    None: "The operation that makes it was not found.",
    True: "The model's last call was run again, and what it returns is finite: the value arises "
    "outside that call, as in the computation of the loss.",
    False: "The model's last call was run again, and what it returns is not finite. No operation "
    "was seen in it that makes such a value from finite ones.",
}


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for the first loss and the first weights that are not finite."""
    run = ask(ShortRun())
    run.require(losses=1)
    step = first_bad_step(run)
    loss = next((row for row in run.losses if not math.isfinite(row.value)), None)
    if loss is None:
        return
    place = ask(LocateNonFinite(batch=max(loss.batch, 0)))
    origin = next((row for row in place.operations if row.direction == "forward"), None)
    spoiled = step is not None and step < loss.step
    values = [row.value for row in run.losses]
    yield LOSS.finding(
        cause_of(origin, spoiled, step, place.facts.get("output_is_finite")),
        mechanism=mechanism(origin, spoiled),
        location=first_location(
            [
                *([origin.place] if origin else []),
                loss.place,
                *(row.place for row in run.backwards),
                run.setup.factory,
            ],
            module=origin.module if origin else None,
        ),
        evidence=[
            Evidence("loss", named(loss.value), "finite"),
            Evidence("batch", loss.batch),
            Evidence("losses that are not finite", num_bad(values), 0),
            Evidence("losses seen", len(values)),
            *operation_evidence(origin),
        ],
        series=[Series("loss", tuple(range(len(values))), tuple(values))],
        explains=explained(spoiled),
        value=named(loss.value),
        # Where no optimizer steps, batches are all that is counted.
        when=f"batch {loss.batch}" if loss.batch > loss.step == 0 else f"step {loss.step}",
    )


def first_bad_step(run: Trace) -> int | None:
    """Return the first step after which a parameter is not finite."""
    return min((row.step for row in run.updates if row.num_not_finite), default=None)


def explained(spoiled: bool) -> tuple[str, ...]:
    """Return what a loss accounts for: less if the weights were ruined before it."""
    always = ("TD6", "TD806")
    more = ("TD105", "TD203", "TD205", "TD405", "TD408", "TD414", "TD418")
    return always if spoiled else (*more, *always)


def num_bad(values: list[float]) -> int:
    """Count the values that are not finite."""
    return sum(not math.isfinite(value) for value in values)


def named(value: float) -> str:
    """Return NaN, infinite or minus infinite as people write it."""
    return "NaN" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"


def cause_of(
    origin: OperationRow | None, spoiled: bool, step: int | None, is_output_finite: bool | None
) -> str:
    """State where the first non-finite value came from.

    Args:
        origin: the operation that made it, if it was found.
        spoiled: the weights were not finite before this loss.
        step: after which they were not.
        is_output_finite: of the model's last call, if that is all that was replayed.
    """
    if spoiled:
        return f"The weights were not finite any more after step {step}, before this loss."
    if origin is None:
        return UNKNOWN[is_output_finite]
    where = f" in {origin.module}" if origin.module else ""
    low, high = figure(origin.input_minimum), figure(origin.input_maximum)
    made = "NaN" if origin.kind == "nan" else "an infinity"
    if any(0 in shape for shape in origin.input_shapes):
        return f"`{origin.operation}`{where} makes {made} from nothing: its input is empty."
    return f"`{origin.operation}`{where} makes {made} from values between {low} and {high}."


def mechanism(origin: OperationRow | None, spoiled: bool) -> str:
    """Say how one value spoils all."""
    if spoiled or origin is None:
        return "A NaN passes through every operation: one is enough for the whole loss."
    why = WHY.get(origin.operation, "left the range of numbers for at least one element")
    return (
        f"`{origin.operation}` {why}. Whatever is computed with that element is not finite "
        "either, and a mean over the batch holds it."
    )


def operation_evidence(origin: OperationRow | None) -> list[Evidence]:
    """Return the operation's input as evidence."""
    if origin is None:
        return []
    shapes = ", ".join(str(shape) for shape in origin.input_shapes[:3])
    return [
        Evidence("operation", origin.operation),
        Evidence("smallest input", origin.input_minimum),
        Evidence("largest input", origin.input_maximum),
        Evidence("input shapes", shapes),
    ]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; the replay follows only a loss that is not finite."""
    return (ShortRun(),)


probe = Probe(
    name="loss-finite",
    doc=__doc__,
    rules=(LOSS,),
    examine=examine,
    experiments=experiments,
    core=True,
)
