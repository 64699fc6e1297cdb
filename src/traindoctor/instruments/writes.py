"""Records who writes to parameters between the optimizer's steps: line, operation and pattern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.flow import operation_name
from traindoctor.instruments.inplace import writes_in_place
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.trace import Place, WriteRow

if TYPE_CHECKING:
    import torch

MOST_LINES = 64
MOST_PART = 0.9  # of a tensor's elements: fewer changed ones are a part of it
ONE_FACTOR = 1e-3  # within which factors are the same


class Writes:
    """Sees every torch function; compares parameters before and after those that write to them."""

    def __init__(self, recorder: Recorder, parameters: dict[str, torch.Tensor]) -> None:
        self.recorder, self.parameters = recorder, parameters
        self.is_stepping = False
        self.seen: dict[tuple[str, Place, str], dict[str, Any]] = {}
        # As the last step left them, with how far it moved them, by `id` of the optimizer.
        self.left: dict[int, tuple[list[torch.Tensor], float]] = {}
        self.before: list[torch.Tensor] = []
        self.ratios: list[float] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Install the function mode and the step hooks while inside."""
        from torch.optim.optimizer import (
            register_optimizer_step_post_hook,
            register_optimizer_step_pre_hook,
        )
        from torch.overrides import TorchFunctionMode

        writes = self

        class Mode(TorchFunctionMode):
            def __torch_function__(
                self, function: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                before = writes.begins(operation_name(function), args)
                result = function(*args, **(kwargs or {}))
                writes.ends(operation_name(function), before)
                return result

        handles = [
            register_optimizer_step_pre_hook(self._begins_step),
            register_optimizer_step_post_hook(self._ends_step),
        ]
        try:
            with Mode():
                yield
        finally:
            for handle in handles:
                handle.remove()
            self.recorder.writes += self.rows()
            self.recorder.facts["moved_elsewhere"] = tuple(self.ratios)

    def begins(self, name: str, args: Any) -> dict[str, torch.Tensor]:
        """Return copies of the parameters that an operation is about to write to."""
        import torch

        if self.is_stepping or not writes_in_place(name) or not args:
            return {}
        given = args[0] if isinstance(args[0], list | tuple) else [args[0]]
        written = {_storage(t) for t in given if isinstance(t, torch.Tensor)}
        with torch._C.DisableTorchFunction():
            return {
                key: p.detach().clone()
                for key, p in self.parameters.items()
                if _storage(p) in written
            }

    def ends(self, name: str, before: dict[str, torch.Tensor]) -> None:
        """Take in what an operation has made of them."""
        import torch

        with torch._C.DisableTorchFunction():
            for key, old in before.items():
                found = pattern_of(old, self.parameters[key].detach())
                if found is not None:
                    self._add(name, key, *found)

    def _add(self, operation: str, parameter: str, pattern: str, factor: float | None) -> None:
        key = (operation, here(), pattern)
        if key not in self.seen and len(self.seen) >= MOST_LINES:
            return
        entry = self.seen.setdefault(key, {"count": 0, "steps": {}, "names": {}, "factor": factor})
        entry["count"] += 1
        entry["steps"][len(self.recorder.steps)] = None
        entry["names"][parameter] = None

    def _begins_step(self, optimizer: Any, *_: Any) -> None:
        import torch

        self.is_stepping = True
        with torch._C.DisableTorchFunction():
            now = _copies(optimizer)
            left, moved = self.left.get(id(optimizer), (now, 0.0))
            if moved and len(left) == len(now):
                self.ratios.append(_distance(now, left) / moved)
            self.before = now

    def _ends_step(self, optimizer: Any, *_: Any) -> None:
        import torch

        with torch._C.DisableTorchFunction():
            now = _copies(optimizer)
            self.left[id(optimizer)] = now, _distance(now, self.before)
        self.is_stepping = False

    def rows(self) -> list[WriteRow]:
        """Return a row for each line, operation and pattern."""
        return [
            WriteRow(
                operation=operation,
                place=place,
                pattern=pattern,
                factor=entry["factor"],
                count=entry["count"],
                steps=tuple(entry["steps"]),
                parameters=tuple(entry["names"]),
            )
            for (operation, place, pattern), entry in self.seen.items()
        ]


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


def _copies(optimizer: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]


def _distance(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> float:
    parts = [
        float((x.double() - y.double()).pow(2).sum())
        for x, y in zip(a, b, strict=True)
        if x.shape == y.shape
    ]
    return float(sum(parts) ** 0.5)


def _storage(tensor: torch.Tensor) -> int:
    is_plain = not tensor.is_sparse and tensor.device.type != "meta"
    return tensor.untyped_storage().data_ptr() if is_plain else id(tensor)
