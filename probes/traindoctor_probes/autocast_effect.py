"""Does autocast change the precision of anything?

## What it measures
Each line that enters `torch.autocast`, for which device, and whether torch left it on; and for a
few training steps the type of what linear layers and convolutions return, inside it and outside.

## Why it matters
Mixed precision is asked for to save time and memory. Entered for another device than the model is
on, or around the loss alone, it changes nothing, and the run costs what float32 costs.

## Known limits
Products that are no layer's (`q @ k`) are not seen: where autocast holds only such ones, and layers
outside of it compute in float32, it is called likely at most. An `enabled=...` in the call is taken
as meant, whatever it says. Where torch has no device of the kind (CUDA on a laptop), that is
information, unless the code enters autocast for the device at hand as well: the machine that it is
made for may have one.

## References
PyTorch, "Automatic Mixed Precision package": autocasting; autocast op reference.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from traindoctor.experiments import Experiment, ReadSource, ShortRun
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
from traindoctor.probing.syntax import calls
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import AutocastRow, SourceRow

LEAST_CALLS = 2  # of layers, in a few steps
LOW = ("bfloat16", "float16")

NO_EFFECT = Rule(
    code="TD716",
    name="autocast-without-effect",
    severity=Severity.WARNING,
    title="autocast to {dtype} for {device} changes no layer's precision",
    what="Autocast is entered, and the layers compute in float32 all the same.",
    why="Time and memory are those of float32 while the run is taken for one in mixed precision.",
    known_limits="Only linear layers and convolutions are looked at, in the first few steps.",
    remedies=(
        Remedy(
            "Call the model inside autocast, for the device that it is on",
            recommended=True,
            before="outputs = model(inputs)\nwith torch.autocast(device_type):\n"
            "    loss = loss_fn(outputs, targets)",
            after="with torch.autocast(device_type):\n    outputs = model(inputs)\n"
            "    loss = loss_fn(outputs, targets)",
        ),
        Remedy("Leave autocast out", pros="The code says what it does."),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each line that enters autocast during training."""
    rows = [row for row in ask(ShortRun()).autocasts if row.num_entries]
    if not rows:
        return
    wanted = [row for row in rows if is_wanted(row, ask(ReadSource()).source)]
    if any(row.num_low for row in wanted):
        return  # some of it has its effect; what else is entered may be meant for other things
    for row in wanted:
        if row.num_full >= LEAST_CALLS:
            yield without_effect(row, is_meant_for(row.device, ask(ReadSource()).source))
        elif row.is_on and row.num_outside >= LEAST_CALLS and not row.num_full:
            yield beside_the_model(row)


def is_wanted(row: AutocastRow, source: tuple[SourceRow, ...]) -> bool:
    """Tell an autocast that is to lower the precision, by a call that says nothing of `enabled`."""
    here = [
        call
        for place, call in calls(source, "autocast")
        if place.file == row.place.file
        and call.lineno <= (row.place.line or 0) <= (call.end_lineno or 0)
    ]
    is_switched = any(
        keyword.arg in ("enabled", None) for call in here for keyword in call.keywords
    )
    is_positional = any(len(call.args) > 2 for call in here)
    return (row.is_on or bool(here)) and not is_switched and not is_positional


def is_meant_for(device: str, source: tuple[SourceRow, ...]) -> bool:
    """Tell whether the code enters autocast for this very device elsewhere."""
    given = [
        value
        for _, call in calls(source, "autocast")
        for value in (*call.args[:1], *(k.value for k in call.keywords if k.arg == "device_type"))
    ]
    return any(isinstance(value, ast.Constant) and value.value == device for value in given)


def without_effect(row: AutocastRow, is_meant_here: bool) -> Finding:
    """Return the finding for layers that compute in float32 inside autocast."""
    if row.is_on:
        why = f"It is on for {row.device_type}, and the layers are on {row.device}"
    elif row.dtype not in LOW:
        why = f"torch has switched it off, because it does not cast to {row.dtype}"
    else:
        why = f"torch has switched it off, because it has no device of the kind {row.device_type}"
    has_no_device = not row.is_on and row.dtype in LOW
    return NO_EFFECT.finding(
        f"{row.num_full} calls of linear layers and convolutions inside it returned float32, none "
        f"anything lower. {why}.",
        severity=Severity.INFO if has_no_device and not is_meant_here else None,
        mechanism="Autocast casts the operands of products to its own type, on the device that it "
        "was entered for and on no other.",
        location=location(row.place),
        evidence=[
            Evidence("layer calls inside it, in float32", row.num_full, 0),
            Evidence("layer calls inside it, in lower precision", row.num_low, "all"),
            Evidence("device it is for", row.device_type, row.device),
            Evidence("on", row.is_on, True),
        ],
        dtype=row.dtype,
        device=row.device_type,
    )


def beside_the_model(row: AutocastRow) -> Finding:
    """Return the finding for an autocast around everything but the layers."""
    return NO_EFFECT.finding(
        f"It was entered {row.num_entries} times in a few steps with no layer called inside it, "
        f"while {row.num_outside} layer calls outside of it computed in float32.",
        confidence=Confidence.LIKELY,
        mechanism="Autocast holds for what is called inside the `with` block. What a layer has "
        "computed before it stays in float32, and so does its backward pass.",
        location=first_location([row.outside_place, row.place]),
        also_at=[location(row.place)],
        evidence=[
            Evidence("layer calls inside it", 0, "all"),
            Evidence("layer calls outside it, in float32", row.num_outside, 0),
        ],
        dtype=row.dtype,
        device=row.device_type,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="autocast-effect",
    doc=__doc__,
    rules=(NO_EFFECT,),
    examine=examine,
    experiments=experiments,
)
