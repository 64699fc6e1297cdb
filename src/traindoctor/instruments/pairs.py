"""Follows tensors through written-out losses: a column, a difference, its square, a mean."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

KEEP = {"sigmoid", "tanh", "relu", "softplus", "exp"}  # elementwise, between a layer and a loss
SIZES = {"square", "abs", "__abs__", "absolute", "pow", "__pow__"}
REDUCTIONS = {"mean", "sum"}
SUBTRACTIONS = {"sub", "__sub__", "subtract"}
NORMALIZERS = {"logsumexp", "logcumsumexp"}


class Pairs:
    """What `Criteria` asks of a difference whose operands broadcast.

    Attributes:
        reduced: by the number of a difference: how the sizes of all its pairs became one number.
    """

    def __init__(self) -> None:
        self.reduced: dict[int, str] = {}
        self._columns: dict[int, weakref.ref[Any]] = {}  # last axes of size 1 that a layer made
        self._differences: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._sizes: dict[int, tuple[weakref.ref[Any], int]] = {}  # squares, absolute values
        self._normalizers: dict[int, tuple[weakref.ref[Any], weakref.ref[Any], str]] = {}

    def carry(self, name: str, args: Any, output: torch.Tensor) -> None:
        """Take in one operation."""
        given = args[0] if args else None
        if name == "linear" or (name in KEEP and self.is_column(given)):
            if output.dim() > 1 and output.shape[-1] == 1:
                self._columns[id(output)] = weakref.ref(output)
        elif name in NORMALIZERS and given is not None:
            self._normalizers[id(output)] = (weakref.ref(output), weakref.ref(given), name)
        elif name in SIZES:
            number = _known(self._differences, given)
            if number is not None:
                self._sizes[id(output)] = (weakref.ref(output), number)
        elif name in REDUCTIONS and output.numel() == 1:
            number = _known(self._sizes, given)
            if number is not None:
                self.reduced[number] = name

    def is_column(self, tensor: Any) -> bool:
        """Tell whether a layer with a single output made the last axis of a tensor."""
        known = self._columns.get(id(tensor))
        return known is not None and known() is tensor

    def is_difference(self, output: torch.Tensor, number: int) -> None:
        """Take in the difference of so many."""
        self._differences[id(output)] = (weakref.ref(output), number)

    def normalizer(self, name: str, args: Any) -> str:
        """Return how the exponentials were summed up whose logarithm is taken off a tensor."""
        if name not in SUBTRACTIONS or len(args) < 2:
            return ""
        known = self._normalizers.get(id(args[1]))
        is_its = known is not None and known[0]() is args[1] and known[1]() is args[0]
        return known[2] if known is not None and is_its else ""


def _known(numbers: dict[int, tuple[weakref.ref[Any], int]], tensor: Any) -> int | None:
    known = numbers.get(id(tensor))
    return known[1] if known is not None and known[0]() is tensor else None
