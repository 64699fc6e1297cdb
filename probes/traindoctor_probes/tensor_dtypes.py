"""Do tensors meet layers and loss functions in the dtype that those take?

## What it measures
Of the operation that refused its operands: the dtype of each, that of the weights of the module
it ran in, and which tensor of the batch it came from.

## Why it matters
Torch converts no dtype by itself where a layer meets its input. Training stops at the first batch
that does not fit.

## Known limits
Judged on exceptions alone. What torch promotes silently (float64 targets in mse_loss) is not
reported. The batch's tensor is named only if its dtype or shape points at one.

## References
PyTorch, "Tensor Attributes": torch.dtype, type promotion. torch.nn.CrossEntropyLoss, "Shape".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traindoctor.experiments import Experiment, OneStep
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.trace import ExceptionRow, LeafRow, Trace
from traindoctor_probes._raised import (
    DOWNSTREAM,
    batch_of,
    is_device,
    named,
    quoted,
    stopped,
    where,
)

DTYPE = Rule(
    code="TD005",
    name="dtype-mismatch",
    severity=Severity.CRITICAL,
    title="{what} is given {given} where it takes {wanted}",
    what="A tensor has a dtype that the layer or the loss function does not take.",
    why="The operation raises: nothing is trained.",
    known_limits="The batch's tensor is named only if its shape and dtype point at one.",
    remedies=(
        Remedy(
            "Convert where the batch is made",
            recommended=True,
            pros="Half the memory of float64, and every user of the batch is served.",
            after="x = x.float()  # inputs of layers\nlabels = labels.long()  # class indices, ids",
        ),
        Remedy(
            "Convert the model",
            pros="Keeps the input's precision.",
            cons="Slower, twice the memory.",
            after="model = model.double()",
        ),
    ),
    explains=DOWNSTREAM,
)
_DTYPES = re.compile(
    r"same dtype|same datatype|does not match weight dtype|scalar types?[: ]|"
    r"expected target dtype|Expected floating point type|Found dtype \w+ but expected|"
    r"not implemented for '(Long|Int|Short|Byte|Char|Bool)'|can't be cast to the desired|"
    r"could not infer output dtype|only supports? floating point and complex|"
    r"tensors used as indices must be|one_hot is only applicable|Expected dtype int|"
    r"only supports boolean masks|with two bool tensors is not supported"
)
_TYPES = re.compile(r"Input type .+ and (?:bias|weight) type .+ should be the same")
_CRITERIA = (
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the exception that stopped training."""
    found = stopped(ask)
    if found is not None and is_dtype(found[1].message):
        yield wrong_dtype(*found)


def is_dtype(message: str) -> bool:
    """Tell whether an exception's message complains of dtypes."""
    if is_device(message):
        return False
    return bool(_DTYPES.search(message) or _TYPES.search(message))


def wrong_dtype(trace: Trace, row: ExceptionRow) -> Finding:
    """Return the finding for operands of the wrong dtype."""
    given, wanted, shape = _given_and_wanted(trace, row)
    leaf = _leaf(trace, row, given, shape)
    what = row.operation if row.operation in _CRITERIA else ""
    what = what or (named(row.module, row.module_class) if row.module_class else row.operation)
    source = f" It is the batch's `{leaf.key}`, {leaf.shape}." if leaf else ""
    return DTYPE.finding(
        f"{what or row.phase} got a {given} tensor; it takes {wanted}.{source}",
        mechanism="A layer computes in the dtype of its weights and a classification loss takes "
        "class indices as int64. Neither converts what it is given.",
        location=where(row, trace),
        evidence=[
            Evidence("dtype given", given, wanted),
            *([Evidence("tensor of the batch", leaf.key)] if leaf else []),
            Evidence("dtypes of the operands", ", ".join(row.operand_dtypes) or "unknown"),
        ],
        quote=quoted(row),
        subject=leaf.key if leaf else "",
        what=what or "An operation",
        given=given,
        wanted=wanted,
    )


def _given_and_wanted(trace: Trace, row: ExceptionRow) -> tuple[str, str, tuple[int, ...]]:
    """Return the dtype given, the one that is taken, and the shape of what was given."""
    dtypes, shapes = row.operand_dtypes, row.operand_shapes
    if row.operation in _CRITERIA and len(dtypes) > 1:
        indices = "int64 class indices"
        if "floating point type" in row.message:
            indices = f"{dtypes[0]} probabilities, or class indices of shape {shapes[0][:1]}"
        if row.operation.startswith("binary"):
            indices = dtypes[0]
        return dtypes[1], indices, shapes[1]
    if row.operation == "embedding" and dtypes:
        return dtypes[0], "int64 ids", shapes[0]
    weights = {p.dtype for p in trace.parameters if p.module == row.module and row.module}
    pairs = list(zip(row.module_input_dtypes, row.module_input_shapes, strict=False))
    for dtype, shape in pairs or zip(dtypes, shapes, strict=False):
        if weights and dtype not in weights:
            return dtype, " or ".join(sorted(weights)), shape
    others = [dtype for dtype in dtypes if dtype != dtypes[0]]
    if others:
        return dtypes[0], others[0], shapes[0]
    return (dtypes[0], "another dtype", shapes[0]) if dtypes else ("another", "its own", ())


def _leaf(trace: Trace, row: ExceptionRow, dtype: str, shape: tuple[int, ...]) -> LeafRow | None:
    """Return the tensor of the batch that was given, told by dtype, then by shape."""
    batch = batch_of(row, trace)
    alike = [leaf for leaf in batch.leaves if leaf.dtype == dtype] if batch else []
    exact = [leaf for leaf in alike if leaf.shape == shape]
    for found in (exact, alike):
        if len(found) == 1:
            return found[0]
    return None


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="tensor-dtypes",
    doc=__doc__,
    rules=(DTYPE,),
    examine=examine,
    experiments=experiments,
)
