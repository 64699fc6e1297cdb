"""What a model brings along from before its training: parameters with operations behind them.

A frozen weight that is written to outside `no_grad` is no leaf any more. It carries the graph of
what was written, and every step goes through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["History", "lines_kept"]


@contextmanager
def lines_kept(until_step: bool = False) -> Iterator[None]:
    """Let each graph node remember the line that made it, unless the user asks for more than that.

    An operation with a gradient takes a few times as long.

    Args:
        until_step: remember no more from the first optimizer step on: what trains there is in
            earnest, and what it makes is not handed over.
    """
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    before = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    if before[0]:
        yield
        return
    torch.autograd.set_detect_anomaly(True, check_nan=False)

    def end(*_: Any) -> None:
        if until_step:
            torch.autograd.set_detect_anomaly(*before)

    hook = register_optimizer_step_pre_hook(end)
    try:
        yield
    finally:
        hook.remove()
        if not torch.is_anomaly_check_nan_enabled():  # else user code has set its own meanwhile
            torch.autograd.set_detect_anomaly(*before)


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    table: dict[str, Any]  # of its module
    key: str
    original: Any
    leaf: Any  # the same values without the operations


class History:
    """The parameters and buffers of a model that have operations behind them."""

    def __init__(self, model: Any) -> None:
        self._parts = tuple(_parts(model))

    @property
    def names(self) -> tuple[str, ...]:
        """Their names in the model."""
        return tuple(part.name for part in self._parts)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Put leaves of the same values in their places while inside."""
        for part in self._parts:
            part.table[part.key] = part.leaf
        try:
            yield
        finally:
            for part in self._parts:
                if part.table.get(part.key) is part.leaf:
                    part.table[part.key] = part.original


def _parts(model: Any) -> Iterator[_Part]:
    import torch

    for path, module in model.named_modules():
        for table in (module._parameters, module._buffers):
            for key, tensor in table.items():
                if tensor is None or tensor.grad_fn is None:
                    continue
                leaf = tensor.detach()
                if table is module._parameters:
                    leaf = torch.nn.Parameter(leaf, requires_grad=False)
                yield _Part(f"{path}.{key}" if path else key, table, key, tensor, leaf)
