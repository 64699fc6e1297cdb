"""Are the tensors that meet in one operation on one device?

## What it measures
Of the operation that refused its operands: the device of each; and the devices of the model's
parameters and of the batch.

## Why it matters
Torch moves no tensor by itself. Training stops where two devices meet, often in the one branch
that uses a tensor nobody registered.

## Known limits
Judged on exceptions alone: a model that is spread over devices is no fault as long as its forward
moves what passes between them. A tensor that is neither parameter nor part of the batch is shown
as an operand, without a name. Without a GPU, only `meta` is a second device.

## References
PyTorch, "Tensor Attributes": torch.device; "Meta device".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from traindoctor.errors import CannotJudge
from traindoctor.experiments import Experiment, OneStep, ReadSource
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
from traindoctor.probing.wording import counted, first_location, grouped, location
from traindoctor.trace import ExceptionRow, Trace
from traindoctor_probes._raised import DOWNSTREAM, batch_of, is_device, quoted, stopped, where

DEVICE = Rule(
    code="TD006",
    name="device-mismatch",
    severity=Severity.CRITICAL,
    title="Tensors on {devices} meet in one operation",
    what="Model, batch, buffers or optimizer state are on different devices.",
    why="The operation raises: nothing is trained.",
    known_limits="A tensor that is neither parameter, buffer nor part of the batch is not named.",
    remedies=(
        Remedy(
            "Move the model first, then build the optimizer, then move each batch",
            recommended=True,
            after="model.to(device)\noptimizer = torch.optim.AdamW(model.parameters())\n"
            "batch = {key: value.to(device) for key, value in batch.items()}",
        ),
        Remedy(
            "Register constants as buffers",
            pros="They follow `model.to(device)`.",
            before="self.mask = mask",
            after='self.register_buffer("mask", mask)',
        ),
    ),
    explains=DOWNSTREAM,
)
_NAMES = re.compile(r"\b(?:cuda:\d+|cuda|cpu|meta|mps:\d+|mps|xpu:\d+)\b")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the exception; where no step can be looked at, the parameters without data."""
    try:
        found = stopped(ask)
    except CannotJudge:
        known = ask(ReadSource())
        is_empty = any(row.device == "meta" for row in known.parameters)
        if not is_empty or known.facts.get("is_offloaded"):  # their values come with a forward
            raise
        yield without_data(known)
        return
    if found is not None and is_device(found[1].message):
        yield wrong_device(*found)


def wrong_device(trace: Trace, row: ExceptionRow) -> Finding:
    """Return the finding for operands on several devices."""
    batch = batch_of(row, trace)
    places = Counter(p.device for p in trace.parameters)
    usual = places.most_common(1)[0][0] if places else "cpu"
    strays = [p for p in trace.parameters if p.device != usual]
    leaves = [leaf for leaf in batch.leaves if leaf.device != usual] if batch else []
    in_message = _NAMES.findall(row.message)
    devices = sorted({usual, *row.operand_devices, *in_message, *(leaf.device for leaf in leaves)})
    parts = [
        f"{counted(count, 'parameter')} of {trace.setup.model_class} on {device}"
        for device, count in places.most_common()
    ]
    parts += [f"the batch's `{leaf.key}` on {leaf.device}" for leaf in leaves]
    if row.operation:
        parts.append(f"the operands of {row.operation} on {', '.join(row.operand_devices)}")
    optimizer = row.phase == "step" or "step" in row.place.text
    return DEVICE.finding(
        f"{row.phase.replace('_', ' ').capitalize()} raised: {'; '.join(parts)}.",
        mechanism="The optimizer's state was made or loaded on another device than the parameters "
        "are on now."
        if optimizer
        else "Torch computes where the operands are, and moves none of them by itself. A tensor "
        "on `meta` has a shape and no data.",
        location=where(row, trace),
        also_at=[location(p.place, parameter=p.name) for p in strays[:8] if p.place],
        evidence=[
            Evidence("devices", ", ".join(devices), usual),
            Evidence("parameters elsewhere", grouped(p.name for p in strays) or "none", "none"),
            Evidence("tensors of the batch elsewhere", grouped(x.key for x in leaves) or "none"),
        ],
        quote=quoted(row),
        devices=" and ".join(devices),
    )


def without_data(known: Trace) -> Finding:
    """Return the finding for parameters that were never given memory."""
    empty = [row for row in known.parameters if row.device == "meta"]
    return DEVICE.finding(
        f"{grouped(row.name for row in empty)} {'is' if len(empty) == 1 else 'are'} on the meta "
        "device: no memory holds a value for them, and no loss can be computed.",
        confidence=Confidence.LIKELY,
        mechanism="A module built under `torch.device('meta')` has shapes only, until weights are "
        "loaded with `assign=True` or `to_empty` gives it memory.",
        location=first_location(
            [*(row.place for row in empty), known.setup.model_place, known.setup.factory]
        ),
        evidence=[Evidence("parameters without data", len(empty), 0)],
        devices="meta and cpu",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="tensor-devices",
    doc=__doc__,
    rules=(DEVICE,),
    examine=examine,
    experiments=experiments,
)
