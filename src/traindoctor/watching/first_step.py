"""Sees every operation of a watched run's first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.finite import FirstNonFinite
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.inplace import InPlace

if TYPE_CHECKING:
    from traindoctor.watching.opening import Opening


class FirstStep:
    """The function mode of the first step, put on torch's stack and taken off again."""

    def __init__(self, opening: Opening) -> None:
        recorder, names, trainable = opening.recorder, opening.names, opening.trainable
        self.criteria, self.writes = Criteria(recorder), InPlace(recorder)
        self.non_finite = FirstNonFinite(recorder)
        listeners = (self.criteria, self.writes, _cautious(self.non_finite))
        self.flow = Flow(recorder, names, trainable, listeners)
        self._watching = self.flow.watching()

    @classmethod
    def begun(cls, opening: Opening) -> FirstStep | None:
        """Return one that sees, or None where a mode of the script's own is active.

        Were ours on top when that one ends, the script would take away the wrong one.
        """
        if _modes():
            return None
        first = cls(opening)
        first._watching.__enter__()
        return first

    def leave(self) -> bool:
        """Take it off; False where a mode of the script's own lies on it now."""
        if len(_modes()) != 1:
            return False
        self._watching.__exit__(None, None, None)
        return True


def _cautious(listener: Callable[..., None]) -> Callable[..., None]:
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
