"""Tells an optimizer's step from the `super().step()` inside it."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any


class Stepping:
    """Which optimizers are inside a step, as one listener to torch's hooks on steps knows it.

    A step that raised never told its end: so one that seems to be inside another is looked for on
    the stack.
    """

    def __init__(self) -> None:
        self._depths: dict[int, int] = {}  # by the optimizer's `id`

    def enters(self, optimizer: Any) -> bool:
        """Take in that a step begins; tell whether it is inside none of the same optimizer."""
        key = id(optimizer)
        depth = self._depths.get(key, 0)
        if depth:
            depth = self._on_stack(optimizer, sys._getframe(1)) - 1
        self._depths[key] = depth + 1
        return not depth

    def leaves(self, optimizer: Any) -> bool:
        """Take in that a step is over; tell whether it was inside none of the same optimizer."""
        depth = self._depths.pop(id(optimizer), 0) - 1
        if depth > 0:
            self._depths[id(optimizer)] = depth
        return depth == 0

    @staticmethod
    def _on_stack(optimizer: Any, frame: FrameType | None) -> int:
        import torch

        # What torch wraps each class's `step` in; it calls the hooks.
        wrapper = torch.optim.Optimizer.profile_hook_step(lambda: None).__code__
        found = 0
        while frame is not None:
            found += frame.f_code is wrapper and frame.f_locals["args"][0] is optimizer
            frame = frame.f_back
        return max(found, 1)
