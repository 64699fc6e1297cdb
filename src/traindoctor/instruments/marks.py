"""Remembers which cuts the values of a tensor have passed, and which of these only scale them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Operations by whose broadcasting a few values scale, shift or bound many.
ARITHMETIC = ("add", "sub", "mul", "div", "truediv", "pow")
BROADCASTS = {
    *ARITHMETIC,
    *(f"r{name}" for name in ARITHMETIC),
    *(f"i{name}" for name in ARITHMETIC),
    *("subtract", "multiply", "divide", "true_divide"),
    *("clamp", "clip", "minimum", "maximum", "where", "lerp"),
}
NONE: frozenset[int] = frozenset()


class Marks:
    """Sets of numbers of cuts, by tensor; none of these is kept alive."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, frozenset[int], frozenset[int]]] = {}

    def of(self, tensor: Any) -> frozenset[int]:
        """Return the cuts that a tensor's values have passed."""
        return self._both(tensor)[0]

    def scaling(self, tensor: Any) -> frozenset[int]:
        """Return those of them whose values came in as a statistic of the others alone."""
        return self._both(tensor)[1]

    def in_full(
        self, name: str, inputs: list[torch.Tensor], output: torch.Tensor
    ) -> frozenset[int]:
        """Return the cuts whose values an operation takes element by element, or as a whole."""
        found = NONE
        for tensor in inputs:
            is_spread = name.strip("_") in BROADCASTS and tensor.numel() < output.numel()
            if not is_spread:
                cuts, scaling = self._both(tensor)
                found |= cuts - scaling
        return found

    def put(self, tensor: torch.Tensor, cuts: frozenset[int], in_full: frozenset[int]) -> None:
        """Take in that values which passed some cuts are in a tensor, some of them in full."""
        before, scaled = self._both(tensor)
        cuts, in_full = cuts | before, in_full | (before - scaled)
        self._known[id(tensor)] = weakref.ref(tensor), cuts, cuts - in_full

    def _both(self, tensor: Any) -> tuple[frozenset[int], frozenset[int]]:
        reference, cuts, scaling = self._known.get(id(tensor), (None, NONE, NONE))
        is_its = reference is not None and reference() is tensor
        return (cuts, scaling) if is_its else (NONE, NONE)
