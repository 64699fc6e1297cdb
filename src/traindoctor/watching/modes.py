"""Keeps the mode, train or eval, in which each model is called for a backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traindoctor.instruments.anatomy import Anatomy

MOST_CHANGES = 64


class Modes:
    """The modes of what the script itself calls, after the opening: each change of them, once."""

    def __init__(self) -> None:
        self._paths: dict[int, str] = {}
        self._waiting: dict[str, bool] = {}  # called, and not yet differentiated
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
            self._waiting[path] = module.training

    def differentiated(self) -> None:
        """Take in that a backward pass went through what was called."""
        for path, mode in self._waiting.items():
            seen = self._seen.setdefault(path, [])
            if (not seen or seen[-1] != mode) and len(seen) < MOST_CHANGES:
                seen.append(mode)
        self._waiting.clear()

    def by_path(self) -> dict[str, list[bool]]:
        """Return the modes in order, by the path of the module."""
        return {path: list(seen) for path, seen in self._seen.items()}
