"""Tells batches apart at a bounded cost: a digest of a sample of each tensor's elements."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["fingerprint", "leading_size"]

MOST_PARTS = 64  # containers and values that are looked at
MOST_ELEMENTS = 256  # of a tensor


def fingerprint(batch: Any) -> str:
    """Return a digest of up to `MOST_ELEMENTS` of each tensor, spread evenly over it.

    Empty where there is none, or where one cannot be read without waiting for an accelerator.
    """
    import torch

    hasher = hashlib.blake2b(digest_size=8)
    found = False
    for part in _parts(batch):
        if not isinstance(part, torch.Tensor):
            continue
        if part.device.type != "cpu" or part.layout is not torch.strided or part.is_nested:
            return ""
        try:
            hasher.update(_sample(part.detach()))
        except (RuntimeError, TypeError, ValueError):  # a tensor subclass that keeps its values
            return ""
        found = True
    return hasher.hexdigest() if found else ""


def leading_size(batch: Any) -> int | None:
    """Return the size on which the first axes of the tensors at a batch's top agree, or None.

    A cheap guess; `traindoctor.target.batches.batch_size` knows more kinds of batches.
    """
    import torch

    parts: Any = (batch,)
    if isinstance(batch, (tuple, list)):
        parts = batch if len(batch) <= MOST_PARTS else parts
    elif isinstance(batch, Mapping):
        parts = tuple(batch.values())
    try:
        sizes = {*map(torch.Tensor.size, parts, repeat(0))}  # mostly, and in few instructions
    except (TypeError, IndexError):  # what is no tensor, or has no axes
        shapes = [part.shape for part in parts if isinstance(part, torch.Tensor)]
        sizes = {shape[0] for shape in shapes if shape}
    return sizes.pop() if len(sizes) == 1 else None


def _parts(batch: Any) -> Iterator[Any]:
    """Yield a batch and what it holds, the outer parts first, at most `MOST_PARTS`."""
    waiting, number = [batch], 0
    while waiting and number < MOST_PARTS:
        part = waiting.pop(0)
        number += 1
        yield part
        if isinstance(part, Mapping):
            waiting += list(part.values())[:MOST_PARTS]
        elif isinstance(part, tuple | list):
            waiting += part[:MOST_PARTS]
        elif is_dataclass(part) and not isinstance(part, type):
            waiting += [getattr(part, item.name) for item in fields(part)]


def _sample(tensor: torch.Tensor) -> bytes:
    """Return the shape, and the bytes of some elements."""
    import torch

    count = tensor.numel()
    header = str(tuple(tensor.shape)).encode()
    if not count:
        return header
    if count > MOST_ELEMENTS:
        if not tensor.is_contiguous():
            tensor = tensor[:: max(1, tensor.shape[0] // 8)].contiguous()
        tensor = tensor.view(-1)[:: max(1, tensor.numel() // MOST_ELEMENTS)]
    if tensor.dtype is torch.bfloat16:  # which numpy does not have
        tensor = tensor.view(torch.int16)
    return header + tensor.numpy().tobytes()
