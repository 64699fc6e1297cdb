"""Reads figures off tensors without a copy of them: norms, zeros, what is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from traindoctor.target.processes import part_of
from traindoctor.target.valueless import has_values

if TYPE_CHECKING:
    import torch

TINY, HUGE = 1e-15, 1e15
PIECE = 1 << 22  # elements that are converted at a time


def norms(tensors: Sequence[torch.Tensor]) -> list[float]:
    """Return the norm of each tensor: one fused pass and one transfer a device.

    NaN where a tensor holds NaN, 0 where there are no values behind it; sparse, complex and
    quantized tensors take their own path. Of a tensor that is spread over several processes it is
    the norm of this one's part: nothing is exchanged.
    """
    import torch

    tensors = [part_of(tensor) for tensor in tensors]
    values = [0.0] * len(tensors)
    plain: dict[Any, list[int]] = {}
    for index, tensor in enumerate(tensors):
        if not has_values(tensor) or tensor.numel() == 0:
            continue
        is_odd = tensor.is_quantized or tensor.is_sparse or tensor.is_complex()
        if is_odd or not tensor.is_floating_point():
            values[index] = _exact(tensor)
        else:
            plain.setdefault((tensor.device, tensor.dtype), []).append(index)
    for (_, dtype), indices in plain.items():
        group = [tensors[index].detach() for index in indices]
        # Half norms overflow or round.
        found = _narrow(group) if dtype.itemsize < 4 else torch._foreach_norm(group)
        for index, tensor, value in zip(indices, group, torch.stack(found).tolist(), strict=True):
            # Squares of such values leave the range of float32: 1e-30 is not zero.
            out_of_range = not TINY < value < HUGE and value == value
            values[index] = _exact(tensor) if out_of_range else value
    return values


def share_zero(tensor: torch.Tensor) -> float:
    """Return the share of elements that are zero; of a sparse tensor, of those it holds."""
    import torch

    dense = _dense(tensor)
    return 1 - int(torch.count_nonzero(dense)) / dense.numel() if dense.numel() else 0.0


def num_not_finite(tensor: torch.Tensor) -> int:
    """Return how many elements are NaN or infinite."""
    return sum(int((~piece.isfinite()).sum()) for piece in _pieces(_dense(tensor)))


def _exact(tensor: torch.Tensor) -> float:
    """Return the norm of a tensor of any values, in double precision."""
    import torch

    dense = _dense(tensor)
    kind = torch.complex128 if dense.is_complex() else torch.float64
    if not dense.any():
        return 0.0
    return float(torch.stack([piece.to(kind).norm() for piece in _pieces(dense)]).norm())


def _narrow(group: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return norms in float32 of tensors of a narrower type; few elements are converted a time."""
    import torch

    found: list[torch.Tensor] = []
    waiting: list[torch.Tensor] = []
    size = 0
    for tensor in (*group, None):
        if tensor is None or size + tensor.numel() > PIECE:
            found += torch._foreach_norm(waiting) if waiting else ()
            waiting, size = [], 0
        if tensor is not None and tensor.numel() > PIECE:
            found.append(torch.stack([piece.float().norm() for piece in _pieces(tensor)]).norm())
        elif tensor is not None:
            waiting.append(tensor.float())
            size += tensor.numel()
    return found


def _pieces(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
    import torch

    return torch.split(tensor.reshape(-1), PIECE)


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    tensor = part_of(tensor).detach()
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor.coalesce().values() if tensor.is_sparse else tensor
