"""Does the batch have the shape that the model and the loss take?

## What it measures
Of the operation that refused its operands: their shapes, the module it ran in, the shape that
module was given and the one it takes, and which tensor of the batch came in with it.

## Why it matters
A tensor with an axis too many or too few stops training at the first batch, often far inside
the model, with a message about matrices that nobody wrote.

## Known limits
A shape error deep in a library's model is told with that model's own layer; the user's line is
where the model is called or built. What a module takes is known for torch's own layers. Shapes
that happen to broadcast raise nothing (see shapes-broadcast).

## References
PyTorch, "Broadcasting semantics"; the Shape section of each layer's page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traindoctor.experiments import Experiment, OneStep
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import location
from traindoctor.trace import ExceptionRow, Place, Trace
from traindoctor_probes._raised import (
    DOWNSTREAM,
    ROWS,
    batch_of,
    failures,
    leaf_of_shape,
    made,
    named,
    quoted,
    sizes_differ,
    where,
)
from traindoctor_probes._takes import takes

RANK = Rule(
    code="TD003",
    name="batch-rank-mismatch",
    severity=Severity.CRITICAL,
    title="{what} is given {given}{wanted}",
    what="A tensor has a shape that a layer, an operation or the loss function does not take.",
    why="The forward raises: nothing is trained.",
    known_limits="Shapes that happen to broadcast are not seen here (see shapes-broadcast).",
    remedies=(
        Remedy(
            "Bring the batch into the shape that the first layer takes",
            recommended=True,
            pros="The model stays as it is.",
            after="x = x.flatten(0, 1)   # (batch, images, C, H, W) -> (batch * images, C, H, W)\n"
            "x = x.squeeze(1)      # an axis of size 1 too many\n"
            "x = x.unsqueeze(1)    # one missing",
        ),
        Remedy(
            "Build the layer for the shape that the data has",
            pros="No information is dropped.",
            cons="Pretrained weights of that layer no longer fit.",
        ),
    ),
    explains=DOWNSTREAM,
)
_SHAPES = re.compile(
    r"shapes cannot be multiplied|same reduction dim|input to conv|to have \d+ channels, but got|"
    r"expected (?:\d+D|\d+D or \d+D) input \(got|input with shape \[|number of channels in input|"
    r"should contain \d+ elements not|input_size|to be (?:\d+D|\d+D or \d+D), got|"
    r"Expected hidden\[?\d?\]? size|embedding dimension of|batched \dD tensor|"
    r"non-empty \dD or \dD|must match the size of tensor|is invalid for input of size|"
    r"Sizes of tensors must match|same number of dimensions|each tensor to be equal size|"
    r"must be a 3D tensor|einsum\(\):|expanded size of the tensor|desired ordering of dimensions|"
    r"Dimension out of range|too many indices for tensor|shape of the mask|multiply up to the size|"
    r"split_sizes to sum exactly|Size does not match at dimension|size mismatch|"
    r"Expected size for first two dimensions|Expected target size|multi-target not supported|"
    r"different to the input size|same as input size|Expected target size|has to be 1D or 2D|"
    r"does not match weight size|doesn't match model|channel dimension of the pixel values|"
    r"Kernel size can't be greater"
)
_UNPACK = re.compile(r"(?:too many|not enough) values to unpack \(expected (\d+)")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the exception that stopped training, unless samples are what is missing."""
    for trace, row in failures(ask)[-1:]:
        if is_shape(row) and not sizes_differ(trace, row):
            yield wrong_shape(ask, trace, row)


def is_shape(row: ExceptionRow) -> bool:
    """Tell whether an exception is about shapes."""
    if row.phase == "step":
        return False
    unpacks = _UNPACK.search(row.message) and re.search(r"shape|size\(", row.raising_text)
    return bool(unpacks or _SHAPES.search(row.message) or ROWS.search(row.message))


def wrong_shape(ask: Ask, trace: Trace, row: ExceptionRow) -> Finding:
    """Return the finding for a shape that was refused."""
    what, given, wanted = _refused(trace, row)
    batch = batch_of(row, trace)
    leaf = leaf_of_shape(batch, given) if given else None
    source = f" It is the batch's `{leaf.key}`." if leaf else ""
    shown = str(given) if given else "a shape that it does not take"
    origin = made(ask, "made", leaf.key) if leaf else Place()
    if origin:
        source += f" `{origin.text}` at line {origin.line} makes it."
    axes = int(wanted.split()[0]) if wanted.endswith(" axes") else None
    operands = ", ".join(str(shape) for shape in row.operand_shapes)
    return RANK.finding(
        f"{what} was given {shown}" + (f"; it takes {wanted}." if wanted else ".") + source,
        mechanism="Layers read a meaning from each axis: the number of axes and the size of one "
        "of them are fixed when the layer is built. This tensor has another layout.",
        location=where(row, trace, origin),
        also_at=[location(origin)] if origin and row.place else [],
        evidence=[
            Evidence("shape given", shown, wanted or None),
            *([Evidence("its axes", len(given), axes)] if given and axes else []),
            *([Evidence("tensor of the batch", leaf.key)] if leaf else []),
            *([Evidence(f"operands of {row.operation}", operands)] if operands else []),
            *(
                Evidence(f"shape of {part.key}", str(part.shape))
                for part in (batch.leaves[:6] if batch and not leaf else ())
            ),
        ],
        remedies=reshaping(leaf.key if leaf else "x", given, axes) if given and axes else None,
        quote=quoted(row),
        subject=leaf.key if leaf else row.module,
        what=what,
        given=shown,
        wanted=f" where it takes {wanted}" if wanted else "",
    )


def reshaping(name: str, given: tuple[int, ...], axes: int) -> list[Remedy]:
    """Return a way to bring a tensor to a number of axes, made of the shape that it has."""
    lines, shape = [], list(given)
    while len(shape) != axes:
        if len(shape) < axes:
            act = "unsqueeze(1)"
            shape.insert(1, 1)
        elif len(shape) > axes + 1:
            last = shape.pop()
            act = f"select(-1, {last // 2})"
        elif shape[1] == 1:
            act = "squeeze(1)"
            del shape[1]
        else:
            act = "flatten(0, 1)"
            shape[:2] = [shape[0] * shape[1]]
        lines.append(f"{name} = {name}.{act}  # -> {tuple(shape)}")
    first = Remedy(
        f"Bring `{name}` from {len(given)} axes to {axes}, for example so",
        recommended=True,
        pros="The model stays as it is.",
        cons="Which axis may go, and what of it is kept, only you can say.",
        after="\n".join(lines),
    )
    return [first, RANK.remedies[1]]


def _refused(trace: Trace, row: ExceptionRow) -> tuple[str, tuple[int, ...], str]:
    """Return what refused, the shape it was given, and what it takes, as far as known."""
    accepts = takes(row.module_class, row.module_attributes)
    inputs = row.module_input_shapes
    if accepts and inputs:
        return named(row.module, row.module_class), inputs[0], accepts
    unpack = _UNPACK.search(row.message)
    if unpack:
        name = re.search(r"(\w+)\.(?:shape|size\()", row.raising_text)
        leaves = batch_of(row, trace)
        known = {leaf.key: leaf.shape for leaf in leaves.leaves} if leaves else {}
        given = known.get(name[1] if name else "", inputs[0] if inputs else ())
        return named(row.module, row.module_class), given, f"{unpack[1]} axes"
    if row.operation and row.operand_shapes:
        others = " and ".join(str(shape) for shape in row.operand_shapes[1:3])
        beside = f"a shape that fits {others}" if others else ""
        inside = f" in {named(row.module, row.module_class)}" if row.module_class else ""
        return f"{row.operation}{inside}", row.operand_shapes[0], beside
    what = named(row.module, row.module_class) if row.module_class else row.phase
    return what, inputs[0] if inputs else (), ""


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="tensor-shapes",
    doc=__doc__,
    rules=(RANK,),
    examine=examine,
    experiments=experiments,
)
