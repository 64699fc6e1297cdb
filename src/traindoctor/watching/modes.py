"""Keeps the mode, train or eval, in which each model is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from traindoctor.instruments.anatomy import Anatomy

MOST_CHANGES = 64


class Modes:
    """The modes of what the script itself calls, after the opening: each change of them, once.

    Those count in which a model was called for a backward pass that a step of an optimizer of its
    own follows: an attack on a trained model, or a teacher at rest, is no training.
    """

    def __init__(self) -> None:
        self._paths: dict[int, str] = {}
        self._waiting: dict[str, tuple[bool, Any]] = {}  # called, and not yet differentiated
        self._passed: dict[str, tuple[bool, Any]] = {}  # by the last backward pass
        self._seen: dict[str, list[bool]] = {}

    def begin(self, anatomy: Anatomy | None) -> None:
        """Take in the modules that are known, as the opening ends."""
        if anatomy is not None:
            model = anatomy.setup.model
            self._paths = {id(module): path for path, module in model.named_modules()}

    def called(self, module: Any) -> None:
        """Take in a call of the script's with gradients."""
        path = self._paths.get(id(module))
        if path is not None:
            self._waiting[path] = module.training, ref(module)

    def differentiated(self) -> None:
        """Take in that a backward pass went through what was called."""
        self._passed, self._waiting = self._waiting, {}

    def step_begins(self, optimizer: Any) -> None:
        """Take in that an optimizer steps on what was differentiated last."""
        for path, (mode, module) in self._passed.items():
            seen = self._seen.get(path, [])
            is_new = not seen or seen[-1] != mode
            if is_new and len(seen) < MOST_CHANGES and _trains(optimizer, module()):
                self._seen[path] = [*seen, mode]

    def by_path(self) -> dict[str, list[bool]]:
        """Return the modes in order, by the path of the module."""
        return {path: list(seen) for path, seen in self._seen.items()}


def _trains(optimizer: Any, module: Any) -> bool:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return module is not None and any(
        p.requires_grad and id(p) in held for p in module.parameters()
    )
