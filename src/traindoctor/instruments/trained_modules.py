"""Finds the modules that hold what an optimizer trains, and hears of their outermost calls."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

MOST_OPTIMIZERS = 8
MOST_CHILDREN = 32


class TrainedModules:
    """Hooks on whole models and their direct children, found when an optimizer first steps.

    Of calls inside one another only the outermost is told. Hooks on the modules alone, and not on
    every module there is, cost nothing where nobody looks.
    """

    def __init__(
        self, begins: Callable[[nn.Module], None], ends: Callable[[nn.Module, Any], None]
    ) -> None:
        self.begins, self.ends = begins, ends
        self.roots: dict[int, nn.Module] = {}
        self.handles: list[Any] = []
        self.optimizers: list[Any] = []  # holds them, so that ids stay theirs
        self.depth = 0

    def learn(self, optimizer: Any) -> None:
        """Find the models of an optimizer that was not seen before."""
        is_known = any(seen is optimizer for seen in self.optimizers)
        if is_known or len(self.optimizers) >= MOST_OPTIMIZERS:
            return
        self.optimizers.append(optimizer)
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for root in models_of(held):
            if id(root) not in self.roots:
                self.roots[id(root)] = root
                for module in (root, *islice(root.children(), MOST_CHILDREN)):
                    self.handles.append(module.register_forward_pre_hook(self._enter))
                    self.handles.append(module.register_forward_hook(self._leave, always_call=True))

    def names(self) -> dict[int, str]:
        """Return the names of all parameters that the models have, by `id`."""
        return {id(p): name for root in self.roots.values() for name, p in root.named_parameters()}

    def release(self) -> None:
        """Take all hooks off."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def _enter(self, module: nn.Module, _args: Any) -> None:
        import torch

        if torch.compiler.is_compiling():
            return
        self.depth += 1
        if self.depth == 1:
            self.begins(module)

    def _leave(self, module: nn.Module, _args: Any, output: Any) -> None:
        import torch

        if torch.compiler.is_compiling():
            return
        self.depth = max(self.depth - 1, 0)
        if self.depth == 0:
            self.ends(module, output)


def models_of(parameters: set[int]) -> list[nn.Module]:
    """Return the modules that hold some of these parameters and that no module holds."""
    from torch import nn

    alive = [item for item in gc.get_objects() if issubclass(type(item), nn.Module)]
    above: dict[int, list[nn.Module]] = {}
    for module in alive:
        for child in _entries(module, "_modules"):
            above.setdefault(id(child), []).append(module)
    frontier = [m for m in alive if any(id(p) in parameters for p in _entries(m, "_parameters"))]
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    while frontier:
        module = frontier.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        holders = above.get(id(module), [])
        frontier += holders
        if not holders:
            found[id(module)] = module
    return list(found.values())


def _entries(module: nn.Module, table: str) -> list[Any]:
    """Return what a module's table holds, without running code of the module's own."""
    entries = vars(module).get(table)
    return list(entries.values()) if isinstance(entries, dict) else []
