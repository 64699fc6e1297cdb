"""Hears every operation of one step, from a call to one that comes later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from traindoctor.instruments.finite import FirstNonFinite
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.recorder import Recorder


class Listening:
    """A flow's function mode, put on torch's stack and taken off again."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self._watching = flow.watching()

    def enter(self) -> bool:
        """Put it on; False where a mode of the script's own is active.

        Were ours on top when that one ends, the script would take away the wrong one.
        """
        if _modes():
            return False
        self._watching.__enter__()
        return True

    def leave(self) -> bool:
        """Take it off; False where a mode of the script's own lies on it now."""
        if len(_modes()) != 1:
            return False
        self._watching.__exit__(None, None, None)
        return True


class NonFinite(Listening):
    """Hears which operation makes a value that is not finite."""

    def __init__(self, recorder: Recorder) -> None:
        self.non_finite = FirstNonFinite(recorder)
        super().__init__(Flow(recorder, {}, (), [cautious(self.non_finite)]))


def cautious(listener: Callable[..., None]) -> Callable[..., None]:
    """Return a listener that leaves no graph, and is silent once it has failed.

    What is saved for a graph would be counted in a checkpoint of the script's; what is under
    `vmap` cannot be read.
    """
    import torch

    failed: list[Exception] = []

    def hear(*operation: Any) -> None:
        try:
            if not failed:
                with torch.no_grad():
                    listener(*operation)
        except Exception as error:  # a tensor may be of any kind
            failed.append(error)

    return hear


def _modes() -> list[Any]:
    """Return the function modes that are active and that somebody may take away again."""
    import torch
    from torch.overrides import _get_current_function_mode_stack

    default = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    stack: list[Any] = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return [mode for mode in stack if mode is not default]
