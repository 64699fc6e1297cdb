"""Batches of any shape: walked, moved, copied, split."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from traindoctor.target.setup import TARGET_NAMES

if TYPE_CHECKING:
    import torch

    from traindoctor.trace import BatchRow

__all__ = [
    "as_mapping",
    "batch_size",
    "copy_batch",
    "describe",
    "kind_of",
    "leaves",
    "map_tensors",
    "parts_of",
    "split",
    "to_device",
]


def kind_of(batch: object) -> str:
    """Name a batch's shape: mapping, sequence, tensor, dataclass or other."""
    import torch

    if isinstance(batch, torch.Tensor):
        return "tensor"
    if isinstance(batch, Mapping):
        return "mapping"
    if is_dataclass(batch) and not isinstance(batch, type):
        return "dataclass"
    return "sequence" if isinstance(batch, (tuple, list)) else "other"


def map_tensors(batch: Any, fn: Callable[[Any], Any]) -> Any:
    """Rebuild a batch with `fn` applied to each tensor; everything else stays as it is."""
    import torch

    return _rebuilt(batch, lambda leaf: fn(leaf) if isinstance(leaf, torch.Tensor) else leaf)


def to_device(batch: Any, device: Any) -> Any:
    """Return the batch on a device, moved as a training loop would: anything with `.to`.

    With no device (a model without parameters) it stays where it is.
    """
    if device is None:
        return batch
    return _rebuilt(batch, lambda leaf: leaf.to(device) if hasattr(leaf, "to") else leaf)


def copy_batch(batch: Any) -> Any:
    """Return a batch that user code may pop keys from or write into without harm.

    Tensors that are one and the same stay so, because writing into one of them then shows
    in the other, as it would in the user's own loop.
    """
    import torch

    copies: dict[int, Any] = {}

    def copied(leaf: Any) -> Any:
        if id(leaf) not in copies:
            if isinstance(leaf, torch.Tensor):
                copies[id(leaf)] = _cloned(leaf)
            elif hasattr(leaf, "__array__") or hasattr(leaf, "clone"):
                copies[id(leaf)] = copy.deepcopy(leaf)
            else:
                copies[id(leaf)] = leaf
        return copies[id(leaf)]

    return _rebuilt(batch, copied)


def _cloned(tensor: Any) -> Any:
    if tensor.is_leaf:
        return tensor.detach().clone().requires_grad_(tensor.requires_grad)
    return tensor.clone()  # made by layers in the collate function: its graph is kept


def _rebuilt(batch: Any, leaf: Callable[[Any], Any]) -> Any:
    """Rebuild containers of any type around transformed leaves."""
    import torch
    from torch.nn.utils.rnn import PackedSequence

    if isinstance(batch, (torch.Tensor, torch.Size)):
        return leaf(batch)
    if isinstance(batch, PackedSequence):  # a tuple whose second field must stay on the host
        moved = leaf(batch)
        return moved if moved is not batch else batch._replace(data=leaf(batch.data))
    if isinstance(batch, Mapping):
        return _rebuilt_mapping(batch, leaf)
    if is_dataclass(batch) and not isinstance(batch, type):
        twin = copy.copy(batch)
        for item in fields(batch):
            object.__setattr__(twin, item.name, _rebuilt(getattr(batch, item.name), leaf))
        return twin
    if isinstance(batch, tuple):
        items = [_rebuilt(item, leaf) for item in batch]
        return tuple.__new__(type(batch), items)
    if isinstance(batch, list):
        shell = [] if type(batch) is list else copy.copy(batch)
        shell[:] = [_rebuilt(item, leaf) for item in batch]
        return shell
    return leaf(batch)


def _rebuilt_mapping(batch: Mapping[Any, Any], leaf: Callable[[Any], Any]) -> Any:
    rebuilt = {key: _rebuilt(part, leaf) for key, part in batch.items()}
    if type(batch) is dict or not isinstance(batch, MutableMapping):
        return rebuilt
    if type(batch) is OrderedDict:
        return OrderedDict(rebuilt)
    twin = copy.copy(batch)
    for key, part in rebuilt.items():
        twin[key] = part
    return twin


def parts_of(batch: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a container by name; nothing for a leaf."""
    kind = kind_of(batch)
    if kind == "mapping":
        yield from ((str(key), part) for key, part in batch.items())
    elif kind == "dataclass":
        yield from ((item.name, getattr(batch, item.name)) for item in fields(batch))
    elif kind == "sequence":
        yield from ((str(index), part) for index, part in enumerate(batch))


def as_mapping(batch: Any) -> dict[str, Any] | None:
    """Return what an object holds as a plain dict; None for a sequence or a tensor."""
    kind = kind_of(batch)
    if kind in ("mapping", "dataclass"):
        return dict(parts_of(batch))
    held = vars(batch) if kind == "other" and hasattr(batch, "__dict__") else {}
    return {name: part for name, part in held.items() if not name.startswith("_")} or None


def leaves(batch: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(key, tensor)` for each tensor, nested keys joined by dots.

    A batch that is a bare tensor has the key `batch`.
    """
    import torch

    if isinstance(batch, torch.Tensor):
        yield key or "batch", batch
    for name, part in parts_of(batch):
        yield from leaves(part, f"{key}.{name}" if key else name)


def batch_size(batch: Any) -> int | None:
    """Return the number of samples, or None where the tensors do not agree on it.

    The tensors at the top decide; where there are none, those nested in it do. Where they
    disagree, as with several images a sample, token ids and targets that agree decide.
    """
    import torch

    tops = [part for _, part in parts_of(batch)] if kind_of(batch) != "tensor" else [batch]
    tensors = [part for part in tops if isinstance(part, torch.Tensor)]
    sizes = _sizes(tensors or [tensor for _, tensor in leaves(batch)])
    if len(set(sizes)) > 1 and isinstance(batch, Mapping):
        named = [batch[name] for name in ("input_ids", *TARGET_NAMES) if name in batch]
        sizes = _sizes([part for part in named if isinstance(part, torch.Tensor)])
        sizes = sizes if len(sizes) > 1 else []
    return sizes[0] if len(set(sizes)) == 1 else None


def _sizes(tensors: Sequence[torch.Tensor]) -> list[int]:
    return [int(tensor.size(0)) for tensor in tensors if tensor.ndim]


def split(batch: Any) -> tuple[Any, Any]:
    """Return `(inputs, targets)`; targets are None where the batch names none.

    A mapping or an object is searched for `labels`, `label`, `targets`, `target`, `y`; of a
    sequence the last of two or more is the targets.
    """
    kind = kind_of(batch)
    if kind in ("mapping", "dataclass"):
        parts = dict(batch) if kind == "mapping" else dict(parts_of(batch))
        name = next((name for name in TARGET_NAMES if name in parts), None)
        if name is None:
            return batch, None
        return {key: part for key, part in parts.items() if key != name}, parts[name]
    if kind == "sequence" and batch:
        if len(batch) <= 2:
            return batch[0], batch[1] if len(batch) == 2 else None
        return tuple(batch[:-1]), batch[-1]
    if kind == "other":
        names = (name for name in TARGET_NAMES if getattr(batch, name, None) is not None)
        return batch, getattr(batch, next(names, ""), None)
    return batch, None


def describe(
    batch: Any, index: int, epoch: int = 0, fetch_seconds: float = 0.0, only_host: bool = False
) -> BatchRow:
    """Return a batch as a row of the trace; see `traindoctor.target.described`."""
    from traindoctor.target.described import described

    return described(batch, index, epoch, fetch_seconds, only_host)
