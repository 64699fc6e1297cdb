"""Remembers objects as they are, tensors by value and everything by identity."""

from __future__ import annotations

import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from traindoctor.target.looking import attribute
from traindoctor.target.on_disk import OnDisk
from traindoctor.target.room import free_memory, roomiest_folder
from traindoctor.target.tensors import Copy, TensorState

if TYPE_CHECKING:
    import torch

__all__ = ["Memory"]

# Gradients, an optimizer's state and activations want theirs as well.
MOST_SHARE = 1 / 8  # of the free memory, that copies may take

_CONTAINERS = (dict, OrderedDict, defaultdict, list, set, deque)
_LOADER_PARTS = ("sampler", "batch_sampler", "generator", "dataset")


class Memory:
    """What a set of objects held: their attributes, containers, tensors and generators.

    Objects that are entered: modules, optimizers, schedulers, scalers, and whatever of
    these stands in their attributes, however deep in lists and dicts. Each is remembered
    once; `keep` is to be called before anything changes.
    """

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # holding the objects, so that no id is used twice
        self._namespaces: list[tuple[Any, type, dict[str, Any]]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._tensors: list[TensorState] = []
        self._watched: dict[int, torch.Tensor] = {}
        self._copies: dict[object, Copy] = {}
        self._num_kept = 0
        self._on_disk: list[OnDisk] = []
        self._setters: list[Callable[[], Any]] = []

    @property
    def num_bytes(self) -> int:
        """Memory that the copies of tensors take."""
        return sum(copy.num_bytes for copy in self._copies.values())

    @property
    def num_needed(self) -> int:
        """Bytes of what is copied, wherever to."""
        return sum(copy.size for copy in self._copies.values())

    def keep(self) -> None:
        """Copy what was remembered since: in memory, or on disk where that would be too much.

        Raises:
            OSError: there is no room on the disk either.
        """
        new = list(self._copies.values())[self._num_kept :]
        self._num_kept += len(new)
        by_device: dict[torch.device | None, list[Copy]] = {}
        for copy in new:
            by_device.setdefault(copy.source.device if copy.is_plain else None, []).append(copy)
        for device, copies in by_device.items():
            if device is not None and _is_too_much(sum(copy.size for copy in copies), device):
                tensors = [copy.source for copy in copies]
                self._on_disk.append(OnDisk(tensors, roomiest_folder()[0]))
            else:
                for copy in copies:
                    copy.keep()

    def watch(self, tensor: torch.Tensor) -> None:
        """Do not copy this tensor when it is met; only notice whether it changed."""
        self._watched[id(tensor)] = tensor

    def remember(self, part: Any) -> None:
        """Remember an object and all that it leads to. Works through a list, not by recursion."""
        waiting = [part]
        while waiting:
            part = waiting.pop()
            if id(part) in self._seen or isinstance(part, (str, bytes, int, float, type(None))):
                continue
            self._seen[id(part)] = part
            waiting += self._enter(part)

    def remember_shallow(self, part: Any) -> None:
        """Remember a loader's attributes and generators, and its sampler's and data set's.

        The data itself is not copied.
        """
        parts = [part, *(attribute(part, name) for name in _LOADER_PARTS)]
        parts += [attribute(attribute(part, "batch_sampler"), "sampler")]
        for owner in parts:
            if owner is None or id(owner) in self._seen:
                continue
            self._seen[id(owner)] = owner
            self._remember_state(owner)
            if hasattr(owner, "__dict__") and not isinstance(owner, type):
                self._namespaces.append((owner, type(owner), dict(vars(owner))))
                for value in vars(owner).values():
                    self._remember_state(value)

    def _enter(self, part: Any) -> Iterable[Any]:
        """Remember one object; return what is to be remembered next."""
        import torch

        if isinstance(part, torch.Tensor):
            return self._remember_tensor(part)
        if type(part) in _CONTAINERS:
            self._containers.append((part, part.copy()))
            return [*part, *part.values()] if isinstance(part, dict) else list(part)
        if isinstance(part, tuple):
            return part
        if _is_entered(part):
            namespace = vars(part)
            self._namespaces.append((part, type(part), dict(namespace)))
            return list(namespace.values())
        self._remember_state(part)
        return ()

    def _remember_tensor(self, tensor: torch.Tensor) -> Iterable[Any]:
        is_watched = id(tensor) in self._watched
        state = TensorState(tensor, None if is_watched else self._copies)
        self._tensors.append(state)
        return state.parts

    def _remember_state(self, part: Any) -> None:
        import numpy as np
        import torch

        if isinstance(part, torch.Generator):
            torch_state = part.get_state()
            self._setters.append(lambda: part.set_state(torch_state))
        elif isinstance(part, np.random.Generator):
            bits, bit_state = part.bit_generator, part.bit_generator.state
            self._setters.append(lambda: setattr(bits, "state", bit_state))
        elif isinstance(part, (random.Random, np.random.RandomState)):
            name = "state" if isinstance(part, random.Random) else "_state"
            state = getattr(part, f"get{name}")()
            self._setters.append(lambda: getattr(part, f"set{name}")(state))
        elif isinstance(part, np.ndarray) and part.flags.writeable:
            values = part.copy()
            self._setters.append(lambda: np.copyto(part, values))

    def restore(self) -> int:
        """Set everything back. Returns how many watched tensors changed for good."""
        for owner, kind, namespace in self._namespaces:
            if type(owner) is not kind:
                owner.__class__ = kind
            _refill(vars(owner), namespace)
        for container, contents in self._containers:
            _refill(container, contents)
        for state in self._tensors:
            state.rebind()
        for copies in (self._copies.values(), self._on_disk):
            for copy in copies:
                copy.write_back()
        for set_back in self._setters:
            set_back()
        return sum(state.has_changed for state in self._tensors)


def _is_too_much(num_bytes: int, device: torch.device) -> bool:
    """Tell whether a copy would take memory that the training itself may need."""
    free = free_memory(device)
    return free is not None and num_bytes > MOST_SHARE * free


def _is_entered(part: Any) -> bool:
    """Tell whether an object is one whose attributes training changes."""
    import torch

    kinds = (torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    if isinstance(part, (*kinds, torch.amp.GradScaler)):
        return True
    if isinstance(part, type) or not hasattr(part, "__dict__"):
        return False
    # A wrapper of an optimizer or a schedule; looked up without running code of the part's own.
    known = {*vars(part), *dir(type(part))}
    return bool(known & {"param_groups", "_last_lr"})


def _refill(container: Any, contents: Any) -> None:
    """Give a container its contents again, leaving it alone where it has them."""
    if _is_same(container, contents):
        return
    container.clear()
    if isinstance(container, (list, deque)):
        container.extend(contents)
    else:
        container.update(contents)


def _is_same(container: Any, contents: Any) -> bool:
    if len(container) != len(contents):
        return False
    if isinstance(container, dict):
        pairs = zip(container.items(), contents.items(), strict=True)
        return all(a[0] is b[0] and a[1] is b[1] for a, b in pairs)
    return all(a is b for a, b in zip(container, contents, strict=True))
