"""Notes what each `load_state_dict` of a module took, and what has become of it by the end."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traindoctor.target.patches import Notes, replaced
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place, TransferRow

if TYPE_CHECKING:
    import torch

    from traindoctor.target.setup import TrainingSetup

MOST_TRANSFERS = 16
MOST_SAMPLED = 64  # elements of a tensor
MOST_PREFIXES = 3  # parts of a name that a wrapper may have put in front
OTHERWISE = 0.5  # of a tensor's size: farther from what was loaded it is another tensor


@dataclass(frozen=True, slots=True)
class Taken:
    """A tensor of the module that was given a value, and a sample of that."""

    name: str
    tensor: weakref.ref[torch.Tensor]
    sample: torch.Tensor


@dataclass(frozen=True, slots=True)
class Transfer:
    """One call of `load_state_dict`."""

    module: weakref.ref[torch.nn.Module]
    place: Place
    given: dict[str, tuple[int, ...]]  # shapes by name
    taken: tuple[Taken, ...]
    missing: dict[str, weakref.ref[torch.Tensor]]


class Transfers:
    """The calls, in their order."""

    def __init__(self) -> None:
        self.calls: list[Transfer] = []

    def took(self, module: torch.nn.Module, given: Any, place: Place) -> None:
        """Take in that a module has loaded what was given."""
        if not isinstance(given, Mapping) or len(self.calls) >= MOST_TRANSFERS or not place:
            return
        own = dict(module.state_dict(keep_vars=True))
        tensors = {name: value for name, value in own.items() if hasattr(value, "shape")}
        taken = [name for name in tensors if name in given]
        self.calls.append(
            Transfer(
                weakref.ref(module),
                place,
                {str(name): tuple(getattr(value, "shape", ())) for name, value in given.items()},
                tuple(
                    Taken(name, weakref.ref(tensors[name]), _sample(tensors[name]))
                    for name in taken
                ),
                {name: weakref.ref(t) for name, t in tensors.items() if name not in given},
            )
        )


@contextmanager
def transfers_noted(into: Transfers, notes: Notes) -> Iterator[None]:
    """Note the calls while inside."""
    import torch

    depth = [0]

    def loading(original: Any) -> Any:
        def load_state_dict(self: Any, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
            depth[0] += 1
            try:
                result = original(self, state_dict, *args, **kwargs)
            finally:
                depth[0] -= 1
            if not depth[0]:
                notes(lambda: into.took(self, state_dict, user_place(sys._getframe())))
            return result

        return load_state_dict

    with replaced(torch.nn.Module, "load_state_dict", loading):
        try:
            yield
        finally:
            notes.close()


def transfer_rows(setup: TrainingSetup) -> tuple[TransferRow, ...]:
    """Return the calls on modules of the model as rows, with what is left of what they took."""
    if setup.transfers is None:
        return ()
    calls = setup.transfers.calls
    paths = {id(module): path for path, module in setup.model.named_modules()}
    held = (item.tensor() for call in calls for item in call.taken)
    filled = {id(tensor) for tensor in held if tensor is not None}
    has_trained = any(optimizer.state for optimizer in setup.optimizers)
    return tuple(
        _row(call, paths[id(module)], type(module).__name__, filled, has_trained)
        for call in calls
        if (module := call.module()) is not None and id(module) in paths
    )


def _row(
    call: Transfer, path: str, class_name: str, filled: set[int], has_trained: bool
) -> TransferRow:
    missing = [name for name, ref in call.missing.items() if id(ref()) not in filled]
    own = {item.name for item in call.taken} | set(call.missing)
    unexpected = [name for name in call.given if name not in own]
    shapes = {name: tuple(t.shape) for name in missing if (t := call.missing[name]()) is not None}
    given_prefix, own_prefix, renamed = _prefixes(call.given, unexpected, shapes)
    lost = [] if has_trained else [item for item in call.taken if _is_lost(item)]
    return TransferRow(
        place=call.place,
        path=path,
        class_name=class_name,
        num_given=len(call.given),
        num_taken=len(call.taken),
        num_elements=sum(_numel(item) for item in call.taken),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        num_renamed=renamed,
        given_prefix=given_prefix,
        own_prefix=own_prefix,
        overwritten=tuple(item.name for item in lost),
        num_overwritten=sum(_numel(item) for item in lost),
    )


def _prefixes(
    given: Mapping[str, tuple[int, ...]],
    unexpected: list[str],
    missing: Mapping[str, tuple[int, ...]],
) -> tuple[str, str, int]:
    """Return the prefix that the given names, or the module's own, have too much, and how many."""
    best = ("", "", 0)
    for prefix in _heads(unexpected):
        fits = sum(
            missing.get(n.removeprefix(prefix)) == given[n] for n in unexpected if n != prefix
        )
        best = max(best, (prefix, "", fits), key=lambda item: item[2])
    for prefix in _heads(missing):
        fits = sum(missing.get(prefix + name) == given[name] for name in unexpected)
        best = max(best, ("", prefix, fits), key=lambda item: item[2])
    return best


def _heads(names: Any) -> set[str]:
    """Return the beginnings of names, up to and with a dot."""
    parts = [name.split(".") for name in names]
    return {
        ".".join(head[:number]) + "."
        for head in parts
        for number in range(1, min(MOST_PREFIXES, len(head) - 1) + 1)
    }


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().flatten()
    step = max(len(flat) // MOST_SAMPLED, 1)
    return flat[::step][:MOST_SAMPLED].to("cpu", copy=True).double()


def _is_lost(item: Taken) -> bool:
    """Tell a tensor that holds something else than what was loaded into it."""
    tensor = item.tensor()
    if tensor is None or not tensor.is_floating_point() or tensor.ndim < 2:
        return False
    now = _sample(tensor)
    if now.shape != item.sample.shape:
        return False
    return float((now - item.sample).norm()) > OTHERWISE * float(item.sample.norm())


def _numel(item: Taken) -> int:
    tensor = item.tensor()
    return 0 if tensor is None or tensor.ndim < 2 else tensor.numel()
