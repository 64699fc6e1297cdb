"""Describes the operands of a torch operation that refused them, and refuses bad indices itself.

On a GPU an index out of range is no exception: it is an assertion inside a kernel, after which
the process can use the GPU no more. What a CPU would refuse is therefore refused beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MOST_OPERANDS = 6


def operands(name: str, tensors: Iterable[torch.Tensor]) -> dict[str, Any]:
    """Return the fields of an `ExceptionRow` that describe an operation and its tensors."""
    found = [t for t in tensors if not t.is_nested and not t.is_sparse][:MOST_OPERANDS]
    return {
        "operation": name,
        "operand_shapes": tuple(tuple(t.shape) for t in found),
        "operand_dtypes": tuple(str(t.dtype).removeprefix("torch.") for t in found),
        "operand_devices": tuple(str(t.device) for t in found),
        "operand_ranges": tuple(_range(t) for t in found),
    }


def _range(tensor: torch.Tensor) -> tuple[float, float] | None:
    """Return minimum and maximum of an integer tensor that has values."""
    if tensor.is_floating_point() or tensor.is_complex() or tensor.is_meta or not tensor.numel():
        return None
    return float(tensor.min()), float(tensor.max())


def refuse_bad_index(name: str, args: Any, kwargs: Any) -> None:
    """Raise on a GPU what the CPU's `embedding` and `cross_entropy` raise by themselves.

    Raises:
        IndexError: an id has no row, or a label no class.
    """
    if name not in ("embedding", "cross_entropy", "nll_loss"):
        return
    first = args[0] if args else kwargs.get("input")
    second = args[1] if len(args) > 1 else kwargs.get("weight" if name == "embedding" else "target")
    if not getattr(first, "is_cuda", False) or not getattr(second, "is_cuda", False):
        return
    if name == "embedding":
        ids, limit = first, second.shape[0]
    elif second.is_floating_point() or first.dim() == 0:
        return
    else:
        ids = second[second != kwargs.get("ignore_index", -100)]
        limit = first.shape[0 if first.dim() == 1 else 1]
    if not ids.numel():
        return
    low, high = (int(bound) for bound in ids.aminmax())
    if low < 0 or high >= limit:
        value = low if low < 0 else high
        what = "index out of range in self" if name == "embedding" else "is out of bounds."
        raise IndexError(what if name == "embedding" else f"Target {value} {what}")
