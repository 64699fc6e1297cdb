"""Follows what clamps change, to the input of a loss function and from its value on."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Clamps:
    """Knows tensors by identity, for as long as they live."""

    def __init__(self) -> None:
        self.changed: dict[int, tuple[Any, float]] = {}  # share of the elements, by the output
        self.values: dict[int, tuple[Any, int]] = {}  # of loss functions: the number of the call

    def is_value(self, tensor: torch.Tensor, number: int) -> None:
        """Take in the value of a loss function."""
        self.values[id(tensor)] = (weakref.ref(tensor), number)

    def note(self, before: torch.Tensor, after: torch.Tensor) -> tuple[int, float] | None:
        """Take in a clamp; of a loss function's value return its number and the share lowered."""
        import torch

        has_slope = before.requires_grad or not torch.is_grad_enabled()
        if not has_slope or not before.numel() or before.shape != after.shape:
            return None
        old, new = before.detach(), after.detach()
        self.changed[id(after)] = (weakref.ref(after), float((old != new).float().mean()))
        number = _known(self.values, before)
        return None if number is None else (number, float((old > new).float().mean()))

    def carry(self, before: Any, after: torch.Tensor) -> None:
        """Take in that a tensor has another shape or type now."""
        share, number = _known(self.changed, before), _known(self.values, before)
        if share is not None:
            self.changed[id(after)] = (weakref.ref(after), share)
        if number is not None:
            self.values[id(after)] = (weakref.ref(after), number)

    def share(self, tensor: torch.Tensor) -> float:
        """Return the share of a tensor's elements that the clamp which made it changed."""
        return _known(self.changed, tensor) or 0.0


def _known(table: dict[int, tuple[Any, Any]], tensor: Any) -> Any:
    entry = table.get(id(tensor))
    return entry[1] if entry is not None and entry[0]() is tensor else None
