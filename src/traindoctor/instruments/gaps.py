"""Compares parameters at each step with what the step before has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, sqrt
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.before import FEWEST, stride_of
from traindoctor.instruments.norms import norms
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.processes import part_of
from traindoctor.trace import WriteRow

if TYPE_CHECKING:
    import torch

MOST_PART = 0.9  # of a tensor's elements: fewer changed ones are a part of it
ONE_FACTOR = 1e-3  # within which factors are the same


class Gaps:
    """What other code did to parameters between the steps, taken all in all.

    Norms tell cheaply that something changed. From then on a copy of the parameters is kept
    between steps, which tells what; of parameters that are large together, one of some rows.
    """

    def __init__(self, recorder: Recorder, names: Mapping[int, str]) -> None:
        self.recorder, self.names = recorder, names
        self.sizes: dict[int, float] = {}  # by parameter: its norm after its last step
        self.left: dict[int, _Rows] = {}  # by parameter, once something has changed
        self.moved: dict[int, float] = {}  # by optimizer: how far its last step went
        self.is_suspicious = False
        self.ratios: list[float] = []
        self.patterns: dict[str, dict[str, Any]] = {}

    def begins_step(
        self, optimizer: int, held: Sequence[torch.nn.Parameter], sizes: Sequence[float]
    ) -> int:
        """Return how many parameters are not as the last step of an optimizer has left them."""
        changed = sum(
            size != self.sizes.get(id(p), size) and size == size
            for p, size in zip(held, sizes, strict=True)
        )
        kept = [(p, self.left[id(p)]) for p in held if id(p) in self.left]
        moved = self.moved.get(optimizer, 0.0)
        if kept and moved:
            parts = [part_of(p).detach() for p, _ in kept]
            gone = [rows.distance(part) for part, (_, rows) in zip(parts, kept, strict=True)]
            self.ratios.append(hypot(*gone) / moved)
            self.recorder.facts["moved_elsewhere"] = tuple(self.ratios)
            for part, (p, rows) in zip(parts, kept, strict=True):
                self._note(p, pattern_of(rows.kept, rows.of(part)))
        if changed and not self.is_suspicious:
            self.is_suspicious = True
            self.recorder.sums["writes"] = self.rows
        return changed

    def _note(self, p: torch.nn.Parameter, found: tuple[str, float | None] | None) -> None:
        if found is None:
            return
        pattern, factor = found
        entry = self.patterns.setdefault(pattern, {"steps": {}, "names": {}, "factor": factor})
        entry["steps"][len(self.recorder.steps)] = None
        entry["names"][self.names.get(id(p), f"(not in the model) {tuple(p.shape)}")] = None

    def ends_step(
        self,
        optimizer: int,
        held: Sequence[torch.nn.Parameter],
        sizes: Sequence[float],
        updates: Sequence[float],
    ) -> None:
        """Take in the norms of the parameters after a step, and of what it has added."""
        self.sizes |= {id(p): size for p, size in zip(held, sizes, strict=True)}
        self.moved[optimizer] = sum(update * update for update in updates) ** 0.5
        if self.is_suspicious:
            parts = [part_of(p).detach() for p in held]
            stride = stride_of(parts)
            self.left |= {id(p): _Rows(part, stride) for p, part in zip(held, parts, strict=True)}

    def rows(self) -> list[WriteRow]:
        """Return a row a pattern."""
        return [
            WriteRow(
                pattern=pattern,
                factor=entry["factor"],
                count=len(entry["steps"]),
                steps=tuple(entry["steps"]),
                parameters=tuple(entry["names"]),
            )
            for pattern, entry in self.patterns.items()
        ]


class _Rows:
    """Some rows of a tensor as they were, so far apart; all of them where the stride is 1."""

    def __init__(self, tensor: torch.Tensor, stride: int) -> None:
        self.stride = stride if tensor.ndim and tensor.numel() > FEWEST else 1
        self.kept = self.of(tensor).clone()

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the same rows of the tensor as it is now."""
        return tensor[:: self.stride] if self.stride > 1 else tensor

    def distance(self, tensor: torch.Tensor) -> float:
        """Return how far the tensor is from what it was, taken that its other rows are alike."""
        now = self.of(tensor)
        if now.shape != self.kept.shape or not now.numel():
            return 0.0
        share = now.numel() / tensor.numel()
        return norms([now.double() - self.kept.double()])[0] / sqrt(share)


def pattern_of(before: torch.Tensor, after: torch.Tensor) -> tuple[str, float | None] | None:
    """Return what the changed values have in common, with a factor; None where nothing changed."""
    if before.shape != after.shape or not before.is_floating_point():
        return "values", None
    changed = before != after
    share = float(changed.float().mean()) if before.numel() else 0.0
    if share == 0:
        return None
    values = after[changed]
    if bool((values == 0).all()):
        return "mask", None
    top = after.abs().max()
    if bool((values.abs() == top).all()) and values.numel() > 1:
        return "bound", None
    factor = _factor(before.reshape(1, -1), after.reshape(1, -1))
    if factor is not None:
        return "scale", float(factor[0])
    if before.ndim > 1 and _factor(before.flatten(1), after.flatten(1)) is not None:
        return "rows", None
    return ("values" if share >= MOST_PART else "part"), None


def _factor(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor | None:
    """Return by what each row was multiplied, if all of its elements were by the same."""
    # Elements next to zero have no factor that float arithmetic would keep.
    counts = before.abs() > 1e-6 * before.abs().amax(1, keepdim=True)
    ratio = (after / before.where(counts, before.new_ones(()))).where(counts, before.new_zeros(()))
    number = counts.sum(1, keepdim=True).clamp(min=1)
    mean = ratio.sum(1, keepdim=True) / number
    off = ((ratio - mean).abs() * counts).amax(1)
    is_one = bool((off <= ONE_FACTOR * mean.abs().squeeze(1)).all()) and bool(mean.abs().min() > 0)
    return mean.squeeze(1) if is_one else None
