"""Hears of every optimizer's steps, and tells a step from the `super().step()` inside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Listener = Callable[[Any], Any]
"""Is given the optimizer, and raises nothing: it is called inside the user's step."""


class Stepping:
    """One pair of torch's hooks on steps for all listeners, for as long as there is one.

    A step that raised never told its end: so one that seems to be inside another is looked for on
    the stack.
    """

    def __init__(self) -> None:
        self._begin: list[Listener] = []
        self._end: list[Listener] = []
        self._depths: dict[int, int] = {}  # by the optimizer's `id`
        self._handles: list[Any] = []

    @contextmanager
    def told(self, begins: Listener, ends: Listener) -> Iterator[None]:
        """Call these before and after each step that is inside none of the same optimizer."""
        if not self._begin:
            self._hear()
        self._begin.append(begins)
        self._end.append(ends)
        try:
            yield
        finally:
            self._begin.remove(begins)
            self._end.remove(ends)
            if not self._begin:
                while self._handles:
                    self._handles.pop().remove()

    def _hear(self) -> None:
        from torch.optim.optimizer import (
            register_optimizer_step_post_hook,
            register_optimizer_step_pre_hook,
        )

        depths, begin, end = self._depths, self._begin, self._end

        def before(optimizer: Any, *_: Any) -> None:
            key = id(optimizer)
            depth = depths.get(key, 0)
            if depth:
                depth = self._on_stack(optimizer, sys._getframe(1)) - 1
            depths[key] = depth + 1
            if not depth:
                for listener in begin:
                    listener(optimizer)

        def after(optimizer: Any, *_: Any) -> None:
            depth = depths.pop(id(optimizer), 0) - 1
            if depth > 0:
                depths[id(optimizer)] = depth
            elif not depth:
                for listener in end:
                    listener(optimizer)

        for hook in (before, after):
            hook._torchdynamo_disable = True  # type: ignore[attr-defined]  # no compiler traces it
        self._handles.append(register_optimizer_step_pre_hook(before))
        self._handles.append(register_optimizer_step_post_hook(after))

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
