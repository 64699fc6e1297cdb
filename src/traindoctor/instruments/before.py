"""Keeps what tensors hold, so that it can be told later what has moved.

Of tensors that are large together only evenly spread elements are kept. The stride is a prime, so
that no column of a matrix is passed over, and every row of more columns than it is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from traindoctor.instruments.norms import norms
from traindoctor.target.processes import part_of

if TYPE_CHECKING:
    import torch

MOST_BYTES = 1 << 25  # of what is kept
TINY = 1e-30
FEWEST = 1024  # a tensor of no more elements is kept whole


class Move(NamedTuple):
    """How far a tensor is from what it was, and the share of its elements that differ."""

    norm: float
    share: float


class Before:
    """What some tensors held; of each that is spread over processes this one's part."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        parts = [part_of(tensor).detach() for tensor in tensors]
        self.stride = stride_of(parts)
        self._kept = [_picked(part, self.stride).clone() for part in parts]

    def moves(self, now: Sequence[torch.Tensor]) -> list[Move]:
        """Return how the same tensors have moved since."""
        import torch

        parts = [part_of(tensor).detach() for tensor in now]
        picked = [_picked(part, self.stride) for part in parts]
        gone = norms([_minus(a, b) for a, b in zip(picked, self._kept, strict=True)])
        moves = []
        for part, new, old, norm in zip(parts, picked, self._kept, gone, strict=True):
            changed = 0 if norm == 0 else int(torch.count_nonzero(new != old))
            number = max(new.numel(), 1)
            moves.append(Move(norm * (part.numel() / number) ** 0.5, changed / number))
        return moves

    def cosine(self, now: Sequence[torch.Tensor], directions: Before) -> float | None:
        """Return the cosine between how tensors have moved and directions of the same shapes.

        What only makes a tensor longer or shorter, as weight decay does, is left out. None where
        nothing else moved.
        """
        along = moved = length = 0.0
        for tensor, old, direction in zip(now, self._kept, directions._kept, strict=True):
            flat = old.flatten().float()
            move = _picked(part_of(tensor).detach(), self.stride).flatten().float() - flat
            move = move - flat * (move.dot(flat) / flat.dot(flat).clamp(min=TINY))
            wanted = direction.flatten().float()
            along += float(move.dot(wanted))
            moved, length = moved + float(move.dot(move)), length + float(wanted.dot(wanted))
        return along / (moved * length) ** 0.5 if moved * length > 0 else None


def stride_of(tensors: Sequence[torch.Tensor]) -> int:
    """Return which elements of tensors are kept: every one, or a prime number apart."""
    needed = -(-sum(t.numel() * t.element_size() for t in tensors) // MOST_BYTES)
    if needed <= 1:
        return 1
    return next(n for n in count(needed) if all(n % d for d in range(2, int(n**0.5) + 1)))


def _picked(tensor: torch.Tensor, stride: int) -> torch.Tensor:
    import torch

    is_flat = tensor.layout is torch.strided and not tensor.is_nested
    if stride == 1 or tensor.numel() <= FEWEST or not is_flat:
        return tensor
    return tensor.flatten()[::stride]


def _minus(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # Booleans and eight-bit floats cannot be subtracted.
    return a.float() - b.float() if a.dtype.itemsize == 1 else a - b
