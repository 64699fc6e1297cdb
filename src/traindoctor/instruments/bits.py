"""Digests of tensors, bit for bit: one bit of one element makes another digest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from traindoctor.target.valueless import has_values

if TYPE_CHECKING:
    import torch

__all__ = ["bits"]


def bits(tensors: Sequence[torch.Tensor | None]) -> tuple[int | None, ...]:
    """Return of each tensor the sum of its elements' bits, read as integers, modulo 2**64.

    One read of each element, and one transfer a device. None stands for None, and for tensors
    that are no plain dense ones. Elements that change places go unnoticed.
    """
    import torch

    found: list[int | None] = [None] * len(tensors)
    by_device: dict[torch.device, list[tuple[int, torch.Tensor]]] = {}
    with torch.no_grad(), torch._C.DisableTorchFunction():
        for index, tensor in enumerate(tensors):
            if tensor is not None and _is_plain(tensor):
                by_device.setdefault(tensor.device, []).append((index, _sum(tensor)))
        for sums in by_device.values():
            values = torch.stack([total for _, total in sums]).tolist()
            for (index, _), value in zip(sums, values, strict=True):
                found[index] = value
    return tuple(found)


def _is_plain(tensor: torch.Tensor) -> bool:
    import torch

    is_dense = tensor.layout is torch.strided and has_values(tensor) and not tensor.is_nested
    return is_dense and type(tensor) in (torch.Tensor, torch.nn.Parameter)


def _sum(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return tensor.detach().view(kinds[tensor.element_size()]).sum(dtype=torch.int64)
