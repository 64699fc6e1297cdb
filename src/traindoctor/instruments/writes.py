"""Records who writes to parameters between the optimizer's steps: line, operation and pattern."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.flow import operation_name
from traindoctor.instruments.gaps import pattern_of
from traindoctor.instruments.inplace import writes_in_place
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.trace import Place, WriteRow

if TYPE_CHECKING:
    import torch

MOST_LINES = 64


class Writes:
    """Sees every torch function; compares parameters before and after those that write to them."""

    def __init__(self, recorder: Recorder, parameters: dict[str, torch.Tensor]) -> None:
        self.recorder, self.parameters = recorder, parameters
        self.is_stepping = False
        self.seen: dict[tuple[str, Place, str], dict[str, Any]] = {}

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
            self.recorder.sums["writes"] = self.rows

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

    def _begins_step(self, *_: Any) -> None:
        self.is_stepping = True

    def _ends_step(self, *_: Any) -> None:
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


def _storage(tensor: torch.Tensor) -> int:
    is_plain = not tensor.is_sparse and tensor.device.type != "meta"
    return tensor.untyped_storage().data_ptr() if is_plain else id(tensor)
