"""Finds the module that an exception left, from its traceback: for when no module is watched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

from traindoctor.instruments.anatomy import ATTRIBUTES
from traindoctor.instruments.refused import operands

_FUNCTIONAL = os.path.join("torch", "nn", "functional.py")


def operation_left(trace: TracebackType | None) -> dict[str, Any]:
    """Return what an exception's row says of the function of `torch.nn.functional` that raised."""
    import torch

    found: FrameType | None = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(_FUNCTIONAL):
            found = trace.tb_frame
        trace = trace.tb_next
    if found is None:
        return {}
    code = found.f_code
    given = [found.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
    return operands(code.co_name, [value for value in given if isinstance(value, torch.Tensor)])


def module_left(trace: TracebackType | None, names: Mapping[int, str]) -> dict[str, Any]:
    """Return what an exception's row says of the innermost module whose forward it left.

    Args:
        trace: the exception's.
        names: paths of the modules that are known, by `id`.
    """
    import torch

    found: FrameType | None = None
    while trace is not None:
        frame = trace.tb_frame
        owner = frame.f_locals.get("self")
        if frame.f_code.co_name == "forward" and isinstance(owner, torch.nn.Module):
            found = frame
        trace = trace.tb_next
    if found is None:
        return {}
    module, code = found.f_locals["self"], found.f_code
    given = [found.f_locals.get(name) for name in code.co_varnames[1 : code.co_argcount]]
    tensors = [value for value in given if isinstance(value, torch.Tensor)]
    return {
        "module": names.get(id(module), ""),
        "module_class": type(module).__name__,
        "module_input_shapes": tuple(tuple(t.shape) for t in tensors),
        "module_input_dtypes": tuple(str(t.dtype).removeprefix("torch.") for t in tensors),
        "module_attributes": {
            name: value
            for name in ATTRIBUTES
            if isinstance(value := getattr(module, name, None), int | float | bool | tuple)
        },
    }
