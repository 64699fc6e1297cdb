"""Notes which files `torch.load` read an optimizer's state from, and where their weights went."""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from traindoctor.target.patches import Notes, replaced
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place

MOST_FILES = 16
MOST_PARTS = 2_000  # mappings and tensors of one file that are looked at
MOST_KEYS = 20


class Loaded:
    """One file that held the state of an optimizer. What was read is not kept alive."""

    def __init__(self, content: Mapping[Any, Any], place: Place) -> None:
        self.place = place
        self.keys = tuple(str(key) for key in list(content)[:MOST_KEYS])
        self.num_states = self.num_held = 0
        self.state_names: tuple[str, ...] = ()
        self.weights: dict[int, weakref.ref[Any]] = {}
        self.module: weakref.ref[Any] | None = None
        self.module_class, self.module_place = "", Place()
        self._take(content)

    def _take(self, content: Mapping[Any, Any]) -> None:
        """Look through the mappings of a file for an optimizer's state and for weights."""
        import torch

        waiting: deque[Any] = deque([content])
        for _ in range(MOST_PARTS):
            if not waiting:
                break
            part = waiting.popleft()
            if isinstance(part, torch.Tensor):
                self.weights[id(part)] = weakref.ref(part)
            elif not isinstance(part, Mapping):
                continue
            elif part is not content and _is_state(part):
                self._take_state(part)
            else:
                waiting.extend(part.values())

    def _take_state(self, state: Mapping[Any, Any]) -> None:
        self.num_states += num_states(state["state"])
        self.num_held += sum(len(group["params"]) for group in state["param_groups"])
        self.state_names = state_names(state["state"])

    def gives(self, given: Mapping[Any, Any]) -> bool:
        """Tell whether a state dict has weights of this file, the very tensors."""
        return any(
            (ref := self.weights.get(id(value))) is not None and ref() is value
            for value in given.values()
        )


class Checkpoints:
    """The files that were read, in their order."""

    def __init__(self) -> None:
        self.loaded: list[Loaded] = []
        self.receivers: list[weakref.ref[Any]] = []  # optimizers that were given a state

    def read(self, content: Any, place: Place) -> None:
        """Take in what `torch.load` returned."""
        if not isinstance(content, Mapping) or len(self.loaded) >= MOST_FILES:
            return
        loaded = Loaded(content, place)
        if loaded.num_states and loaded.weights:
            self.loaded.append(loaded)

    def gave(self, module: Any, given: Any, place: Place) -> None:
        """Take in that a module got weights."""
        waiting = [loaded for loaded in self.loaded if loaded.module is None]
        for loaded in waiting if isinstance(given, Mapping) else ():
            if loaded.gives(given):
                loaded.module = weakref.ref(module)
                loaded.module_class, loaded.module_place = type(module).__name__, place

    def received(self, optimizer: Any, state: Any) -> None:
        """Take in that an optimizer got a state."""
        is_state = isinstance(state, Mapping) and bool(state.get("state"))
        if is_state and len(self.receivers) < MOST_FILES:
            self.receivers.append(weakref.ref(optimizer))


@contextmanager
def checkpoints_noted(into: Checkpoints, notes: Notes) -> Iterator[None]:
    """Note checkpoints while inside."""
    import torch

    def reading(original: Any) -> Any:
        def load(*args: Any, **kwargs: Any) -> Any:
            content = original(*args, **kwargs)
            notes(lambda: into.read(content, user_place(sys._getframe())))
            return content

        return load

    def giving(original: Any) -> Any:
        def load_state_dict(self: Any, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
            if into.loaded:
                notes(lambda: into.gave(self, state_dict, user_place(sys._getframe())))
            return original(self, state_dict, *args, **kwargs)

        return load_state_dict

    def receiving(original: Any) -> Any:
        def load_state_dict(self: Any, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
            notes(into.received, self, state_dict)
            return original(self, state_dict, *args, **kwargs)

        return load_state_dict

    with ExitStack() as stack:
        # `torch.load` may have been imported under any name; these it looks up when it is called.
        for name in ("_load", "_legacy_load"):
            stack.enter_context(replaced(torch.serialization, name, reading))
        stack.enter_context(replaced(torch.nn.Module, "load_state_dict", giving))
        stack.enter_context(replaced(torch.optim.Optimizer, "load_state_dict", receiving))
        stack.callback(notes.close)
        yield


def num_states(state: Mapping[Any, Any]) -> int:
    """Return for how many parameters an optimizer has tensors."""
    import torch

    return sum(
        isinstance(kept, Mapping) and any(isinstance(v, torch.Tensor) for v in kept.values())
        for kept in state.values()
    )


def state_names(state: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the names under which an optimizer keeps tensors of a parameter."""
    import torch

    kept = next((entry for entry in state.values() if isinstance(entry, Mapping) and entry), {})
    return tuple(sorted(str(k) for k, v in kept.items() if isinstance(v, torch.Tensor)))


def _is_state(part: Mapping[Any, Any]) -> bool:
    """Tell an optimizer's state dict."""
    groups = part.get("param_groups")
    return (
        isinstance(part.get("state"), Mapping)
        and isinstance(groups, list)
        and all(isinstance(group, Mapping) and "params" in group for group in groups)
    )
