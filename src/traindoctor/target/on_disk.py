"""Keeps the bits of tensors in a file, as safetensors, few of them in memory at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["OnDisk"]

PIECE = 1 << 24  # bytes


class OnDisk:
    """Copies of tensors in a file that has no name, so that nothing is left of it whatever happens.

    Args:
        tensors: strided ones, of plain memory.
        folder: where the file is.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """

    def __init__(self, tensors: Sequence[torch.Tensor], folder: Path) -> None:
        from safetensors.torch import save

        self._tensors = tensors
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  kept open
        self._sizes = []  # of the blocks
        for bits in self._blocks():
            block = memoryview(save({"bits": bits.cpu()}))
            self._sizes.append(len(block))
            while block:
                block = block[self._file.write(block) :]

    def write_back(self) -> None:
        """Write the bits where they came from."""
        import torch

        blocks, bits = self._read(), torch.empty(0, dtype=torch.uint8)
        with torch.no_grad():
            for tensor in self._tensors:
                whole = tensor.contiguous()
                for piece in _pieces(whole):
                    if len(piece) > len(bits):
                        bits = next(blocks)
                    piece.copy_(bits[: len(piece)])
                    bits = bits[len(piece) :]
                if whole is not tensor:
                    tensor.copy_(whole)

    def _blocks(self) -> Iterator[torch.Tensor]:
        """Yield the bits of all tensors in order, as many whole pieces at a time as there is room.

        An empty piece fits anywhere.
        """
        import torch

        waiting: list[torch.Tensor] = []
        size = 0
        for tensor in self._tensors:
            for piece in _pieces(tensor.contiguous()):
                if size + len(piece) > PIECE:
                    yield torch.cat(waiting)
                    waiting, size = [], 0
                waiting.append(piece)
                size += len(piece)
        if waiting:
            yield torch.cat(waiting)

    def _read(self) -> Iterator[torch.Tensor]:
        from safetensors.torch import load

        self._file.seek(0)
        for size in self._sizes:
            yield load(self._file.read(size))["bits"]


def _pieces(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
    import torch

    return torch.split(tensor.view(-1).view(torch.uint8), PIECE)
