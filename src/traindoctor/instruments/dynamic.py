"""What the parts of the dynamics have in common."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from traindoctor.instruments.recorder import Recorder


@dataclass(slots=True)
class State:
    """How far a run has come, and what is known of it."""

    recorder: Recorder
    num_backwards: int = 0
    num_passes: int = 0  # backward passes and calls of `autograd.grad`
    num_steps: int = 0  # of any optimizer
    names: dict[int, str] = field(default_factory=dict)  # of parameters, by `id`


class Part:
    """An instrument of the dynamics: it hears what happens, and writes one table.

    What it replaces in the user's process looks at things `safely`: its failure is not theirs.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.is_off = False

    def safely(self, look: Callable[..., Any], *facts: Any) -> Any:
        """Return what looking gave; None, and nothing from then on, where it raised."""
        if self.is_off:
            return None
        try:
            return look(*facts)
        except Exception as error:
            self.is_off = True
            note = f"{type(self).__name__}: {type(error).__name__}: {error}"
            self.state.recorder.facts.setdefault("switched_off", []).append(note)
            return None

    def installed(self) -> AbstractContextManager[Any]:
        """Install what this part needs besides being told."""
        return nullcontext()

    def backward_begins(self, loss: Any, is_retained: bool) -> None:
        """Take in the tensor that is about to be differentiated."""

    def gradient_begins(self, output: Any) -> None:
        """Take in the tensor that `autograd.grad` is about to differentiate."""

    def step_begins(self, optimizer: Any) -> None:
        """Take in that an optimizer is about to step."""

    def call_begins(self, module: Any) -> None:
        """Take in that the outermost module that is trained is called."""

    def call_ends(self, module: Any, output: Any) -> None:
        """Take in what it returned; None where it raised."""

    def write(self) -> None:
        """Write this part's rows to the recorder, in place of those written before."""
