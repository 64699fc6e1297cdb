"""What the parts of the dynamics have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakSet, ref

from traindoctor.errors import told
from traindoctor.instruments.recorder import Recorder

MOST_MODULES = 1000
MOST_PARAMETERS = 1_000_000


class State:
    """How far a run has come, and what is known of it.

    Args:
        recorder: takes the rows.
        names: of parameters, by `id`, where they are known; else those of the modules called.
    """

    def __init__(self, recorder: Recorder, names: Mapping[int, str]) -> None:
        self.recorder, self.names = recorder, dict(names)
        self.num_backwards = 0
        self.num_passes = 0  # backward passes and calls of `autograd.grad`
        self.num_steps = 0  # of any optimizer
        self.inside: set[Part] = set()  # who wants to hear of modules within modules
        # Nothing of the program's is held: what it lets go of is to be gone.
        self.optimizers: WeakSet[Any] = WeakSet()  # those that stepped
        self.held: set[int] = set()  # their parameters, by `id`
        self.trained: dict[int, tuple[Any, bool]] = {}  # modules, by `id`: do they hold some?
        self.switched_off: Callable[[], None] = lambda: None  # called when a part is

    def step_begins(self, optimizer: Any) -> None:
        """Take in what an optimizer holds when it first steps."""
        if optimizer not in self.optimizers:
            self.optimizers.add(optimizer)
            if len(self.held) < MOST_PARAMETERS:
                self.held |= {id(p) for group in optimizer.param_groups for p in group["params"]}
            self.trained.clear()

    def is_trained(self, module: Any) -> bool:
        """Tell whether a module holds parameters that an optimizer has stepped on."""
        if not self.held:
            return False
        known, is_trained = self.trained.get(id(module), (None, False))
        if known is not None and known() is module:
            return is_trained
        found = list(module.named_parameters())
        is_trained = any(id(p) in self.held for _, p in found)
        for name, p in found if is_trained else ():
            self.names[id(p)] = max(self.names.get(id(p), ""), name, key=len)
        if len(self.trained) >= MOST_MODULES:
            self.trained.clear()
        self.trained[id(module)] = (ref(module), is_trained)
        return is_trained


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
            self.switch_off(error)
            return None

    def switch_off(self, error: Exception) -> None:
        """Look at nothing any more, and say why."""
        if self.is_off:
            return
        self.is_off = True
        self.state.switched_off()
        note = f"{type(self).__name__}: {told(error)}"
        self.state.recorder.facts.setdefault("switched_off", []).append(note)

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
        """Take in that the program calls a module that is trained."""

    def call_ends(self, module: Any, output: Any) -> None:
        """Take in what it returned; nothing where it raised."""

    def inner_ends(self, module: Any, output: Any) -> None:
        """Take in what a module inside another returned, to a part in `state.inside`."""

    def write(self) -> None:
        """Write this part's rows to the recorder, in place of those written before."""
