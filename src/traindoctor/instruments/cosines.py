"""Tells a product of directions, whose elements are cosines, from one of vectors of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PRODUCTS = {"linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "einsum"}
UNEVEN = 1e-2  # from a length of 1: half precision


class Cosines:
    """Keeps what the last product was made of, without its graph."""

    def __init__(self) -> None:
        self.factors: list[torch.Tensor] = []
        self.is_cosine = False  # by name

    def saw(self, name: str, args: Any) -> None:
        """Take in one operation."""
        import torch

        if name in PRODUCTS:
            self.is_cosine = False
            self.factors = [arg.detach() for arg in args if isinstance(arg, torch.Tensor)][:2]
        elif name == "cosine_similarity":
            self.is_cosine = True

    def last(self) -> bool:
        """Tell whether both factors of the last product were vectors of length 1."""
        return self.is_cosine or (len(self.factors) > 1 and all(map(_is_unit, self.factors)))


def _is_unit(factor: torch.Tensor) -> bool:
    """Tell rows, or columns, that all have a length of 1."""
    import torch

    is_plain = factor.layout is torch.strided and not factor.is_nested
    if not is_plain or not factor.is_floating_point() or not factor.numel():
        return False
    axes = (-1, -2)[: factor.ndim]
    lengths = (factor.float().norm(dim=axis) for axis in axes)
    return any(float((length - 1).abs().max()) < UNEVEN for length in lengths)
