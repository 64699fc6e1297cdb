"""Sees the model called through its DistributedDataParallel, past it, and inside `no_sync`."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any

from traindoctor.instruments.recorder import here
from traindoctor.target.patches import Notes, replaced
from traindoctor.trace import Place, WrapperRow

MOST_WRAPPERS = 16


class Wrapper:
    """One DistributedDataParallel, which is not kept alive."""

    def __init__(self, wrapper: Any, place: Place) -> None:
        self.refers = weakref.ref(wrapper)
        self.place = place
        self.finds_unused = bool(wrapper.find_unused_parameters)
        self.modules = {id(inner) for inner in wrapper.module.modules()}
        self.parameters = {id(p) for p in wrapper.module.parameters()}
        left_out = getattr(wrapper, "parameters_to_ignore", ())
        self.ignored = {id(p) for n, p in wrapper.module.named_parameters() if n in left_out}
        self.num_calls = self.num_unsynced = self.num_bypassed = 0
        self.unsynced_place = self.bypassed_place = Place()

    def row(self) -> WrapperRow:
        """Return it as it stands now."""
        return WrapperRow(**{item.name: getattr(self, item.name) for item in fields(WrapperRow)})


class Wrappers:
    """All wrappers of a process. Calls without gradients are nobody's business.

    Attributes:
        is_synced: the last call of a wrapper was outside `no_sync`.
    """

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.all: list[Wrapper] = []
        self.is_synced = True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See them while inside."""
        from torch.nn.parallel import DistributedDataParallel

        def built(original: Any) -> Any:
            def init(wrapper: Any, *args: Any, **kwargs: Any) -> None:
                original(wrapper, *args, **kwargs)
                self.notes(self._built, wrapper)

            return init

        def called(original: Any) -> Any:
            def forward(wrapper: Any, *args: Any, **kwargs: Any) -> Any:
                self.notes(self._called, wrapper)
                return original(wrapper, *args, **kwargs)

            return forward

        def unsynced(original: Any) -> Any:
            def no_sync(wrapper: Any) -> Any:
                self.notes(self._unsynced, wrapper)
                return original(wrapper)

            return no_sync

        with ExitStack() as stack:
            stack.enter_context(replaced(DistributedDataParallel, "__init__", built))
            stack.enter_context(replaced(DistributedDataParallel, "forward", called))
            stack.enter_context(replaced(DistributedDataParallel, "no_sync", unsynced))
            yield

    @property
    def shares_next(self) -> bool:
        """Whether the next backward pass averages gradients, as far as calls tell."""
        return self.is_synced and any(wrapper.num_calls for wrapper in self.all)

    def groups_next(self) -> tuple[Any, ...]:
        """Return the groups that wrappers share gradients in."""
        known = [wrapper.refers() for wrapper in self.all]
        return tuple({id(w.process_group): w.process_group for w in known if w}.values())

    def root_called(self, module: Any) -> None:
        """Take in that the script itself calls a module, with gradients enabled."""
        for wrapper in self.all:
            if id(module) in wrapper.modules and wrapper.refers() is not None:
                wrapper.num_bypassed += 1
                wrapper.bypassed_place = wrapper.bypassed_place or here()

    @property
    def ignored(self) -> set[int]:
        """The parameters that wrappers are told to leave to each rank, by `id`."""
        return {key for wrapper in self.all for key in wrapper.ignored}

    def unwrapped(self, parameters: list[Any]) -> list[int]:
        """Return which of the parameters no wrapper had when it was built; none without any."""
        known = set().union(*(wrapper.parameters for wrapper in self.all))
        return [i for i, p in enumerate(parameters) if self.all and id(p) not in known]

    def _built(self, wrapper: Any) -> None:
        if len(self.all) < MOST_WRAPPERS:
            self.all.append(Wrapper(wrapper, here()))

    def _find(self, wrapper: Any) -> Wrapper | None:
        return next((known for known in self.all if known.refers() is wrapper), None)

    def _called(self, wrapper: Any) -> None:
        import torch

        known = self._find(wrapper)
        if known is None or not torch.is_grad_enabled():
            return
        self.is_synced = bool(wrapper.require_backward_grad_sync)
        known.num_calls += 1
        known.num_unsynced += not self.is_synced

    def _unsynced(self, wrapper: Any) -> None:
        known = self._find(wrapper)
        if known is not None:
            known.unsynced_place = known.unsynced_place or here()
