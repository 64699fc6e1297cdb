"""Follows the results of sigmoids to the logarithms that a loss takes of them."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import Any

from traindoctor.instruments.criteria import SHAPES

LOGARITHMS = {"log", "log_", "log1p", "log2", "binary_cross_entropy"}
# What comes between: 1 - p, p + epsilon, p * y + (1 - p) * (1 - y).
ARITHMETIC = {"clamp", "clip", "sub", "rsub", "add", "radd", "mul", "rmul", "where"}


class Probabilities:
    """Results, each with a key.

    Attributes:
        used: keys of those of which a logarithm was taken.
    """

    def __init__(self) -> None:
        self.used: set[Hashable] = set()
        self._known: dict[int, tuple[weakref.ref[Any], Hashable]] = {}

    def add(self, output: Any, key: Hashable) -> None:
        """Take in the result of a sigmoid, or what was made of it."""
        self._known[id(output)] = (weakref.ref(output), key)

    def saw(self, name: str, args: Any, output: Any) -> None:
        """Take in one operation."""
        keys = [
            known[1]
            for arg in args[:3]
            if (known := self._known.get(id(arg))) is not None and known[0]() is arg
        ]
        if name in LOGARITHMS:
            self.used.update(keys)
        elif keys and hasattr(output, "shape") and _goes_on(name):
            self.add(output, keys[0])


def _goes_on(name: str) -> bool:
    return name in SHAPES or name.strip("_") in ARITHMETIC
