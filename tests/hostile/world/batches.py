"""Batches, by name: made of inputs (8, 4) and labels (8,)."""

from __future__ import annotations

import array
import collections
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from tests.hostile.world.things import (
    NAMES,
    Chameleon,
    Liar,
    LongList,
    LyingMapping,
    RaisingMapping,
    Touchy,
)
from torch.nn.utils.rnn import pack_padded_sequence

Tensor = torch.Tensor


@dataclass
class Record:
    x: Any
    y: Any

    @property
    def broken(self) -> Any:
        raise RuntimeError("do not look")


@dataclass(frozen=True)
class Frozen:
    x: Any
    labels: Any

    def __post_init__(self) -> None:
        if not isinstance(self.x, Tensor):
            raise TypeError("only tensors")


@dataclass
class Slots:
    __slots__ = ("absent", "x")
    x: Any
    absent: Any


class Pair(NamedTuple):
    x: Any
    y: Any


class Sub(Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in ("detach", "clone", "isfinite", "aminmax"):
            raise RuntimeError(f"no {func.__name__}")
        return super().__torch_function__(func, types, args, kwargs or {})


def itself(kind: str) -> Any:
    if kind == "dict":
        found: Any = {}
        found["me"] = found
        return found
    found = []
    found.append(found)
    return found


def deep(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


def without_slot(x: Tensor) -> Any:
    made = object.__new__(Slots)
    made.x = x
    return made


BATCHES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "plain": lambda x, y: (x, y),
    "None": lambda x, y: None,
    "empty tuple": lambda x, y: (),
    "tuple of nothing": lambda x, y: (None, None),
    "empty dict": lambda x, y: {},
    "list of lists": lambda x, y: [[x], [[y]]],
    "deep": lambda x, y: (deep(50, x), y),
    "too deep": lambda x, y: (deep(3000, x), y),
    "holds itself": lambda x, y: itself("list"),
    "dict that holds itself": lambda x, y: itself("dict"),
    "beside itself": lambda x, y: (x, y, itself("list")),
    "string": lambda x, y: "a batch of words",
    "strings": lambda x, y: ([NAMES["ansi"]] * 8, y),
    "bytes": lambda x, y: b"\xff\x00" * 9,
    "int": lambda x, y: 3,
    "NaN": lambda x, y: float("nan"),
    "numpy": lambda x, y: (x.numpy(), y.numpy()),
    "numpy objects": lambda x, y: (np.array([Touchy(), None], dtype=object), y),
    "numpy structure": lambda x, y: (np.zeros(8, dtype=[("a", "f4"), ("b", "U3")]), y),
    "array": lambda x, y: (array.array("d", [1.0, 2.0]), y),
    "sparse": lambda x, y: (x.to_sparse(), y),
    "compressed": lambda x, y: (x.to_sparse_csr(), y),
    "complex": lambda x, y: (x.to(torch.complex64), y),
    "bool": lambda x, y: (x > 0, y),
    "no samples": lambda x, y: (x[:0], y[:0]),
    "no features": lambda x, y: (x[:, :0], y),
    "no dimensions": lambda x, y: (x.sum(), y.sum()),
    "many dimensions": lambda x, y: (x.reshape(8, *[1] * 20, 4), y),
    "meta": lambda x, y: (x.to("meta"), y),
    "quantized": lambda x, y: (torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), y),
    "nested tensor": lambda x, y: (torch.nested.nested_tensor([x[0], x[1, :2]]), y),
    "half": lambda x, y: (x.half(), y),
    "bfloat16": lambda x, y: (x.bfloat16(), y.int()),
    "float8": lambda x, y: (x.to(torch.float8_e4m3fn), y),
    "uint16": lambda x, y: (x.abs().to(torch.uint16), y),
    "uint64": lambda x, y: (torch.full((8, 4), 2**63, dtype=torch.uint64), y),
    "double": lambda x, y: (x.double(), y.double()),
    "not finite": lambda x, y: (x / 0, y),
    "huge numbers": lambda x, y: (x * 1e38, y * (1 << 55)),
    "negative labels": lambda x, y: (x, y - 9),
    "expanded": lambda x, y: (x[:1].expand(8, 4), y),
    "transposed": lambda x, y: (x.t().contiguous().t(), y.flip(0)[::2]),
    "conjugate": lambda x, y: (torch.complex(x, x).conj(), y),
    "with history": lambda x, y: (x.clone().requires_grad_() * 2, y),
    "parameter": lambda x, y: (torch.nn.Parameter(x), y),
    "own tensor class": lambda x, y: (x.as_subclass(Sub), y),
    "inference": lambda x, y: (_in_inference(x), y),
    "touchy": lambda x, y: Touchy(),
    "touchy in it": lambda x, y: (x, Touchy()),
    "touchy key": lambda x, y: {"x": x, "y": y, "z": Touchy()},
    "chameleon": lambda x, y: Chameleon(),
    "chameleon in it": lambda x, y: {"x": x, "labels": Chameleon()},
    "liar": lambda x, y: Liar(),
    "record": Record,
    "frozen": Frozen,
    "lacks a field": lambda x, y: without_slot(x),
    "named tuple": Pair,
    "keys of all kinds": lambda x, y: {1: x, None: y, (2, 3): x, 2.5: y},
    **{f"key {name}": (lambda x, y, key=key: {key: x, "labels": y}) for name, key in NAMES.items()},
    "generator": lambda x, y: (part for part in (x, y)),
    "module": lambda x, y: types,
    "class": lambda x, y: dict,
    "function": lambda x, y: print,
    "raising mapping": lambda x, y: RaisingMapping(),
    "lying mapping": lambda x, y: LyingMapping(),
    "long list": lambda x, y: LongList([x, y]),
    "packed": lambda x, y: (pack_padded_sequence(x.unsqueeze(2), [4] * 8, batch_first=True), y),
    "set": lambda x, y: {1, 2},
    "deque": lambda x, y: collections.deque([x, y]),
    "default dict": lambda x, y: collections.defaultdict(list, x=x, y=y),
    "user dict": lambda x, y: collections.UserDict(x=x, y=y),
    "chain map": lambda x, y: collections.ChainMap({"x": x}, {"labels": y}),
    "proxy": lambda x, y: types.MappingProxyType({"x": x, "labels": y}),
    "namespace": lambda x, y: types.SimpleNamespace(x=x, labels=y),
    "exception": lambda x, y: ValueError("a batch"),
    "one tensor": lambda x, y: x,
    "twice the same": lambda x, y: (x, x),
    "thousand parts": lambda x, y: [x] * 1000,
    "ragged": lambda x, y: (x[:3], y),
}


def _in_inference(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x * 1
