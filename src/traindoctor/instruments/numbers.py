"""Numbers optimizers in the order in which they are met, without keeping them alive."""

from __future__ import annotations

import weakref
from typing import Any


class Numbers:
    """One number an optimizer, from 0; the same for every instrument of a recorder."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._next = 0

    def find(self, optimizer: Any) -> int | None:
        """Return an optimizer's number, or None where it has none yet."""
        ref, number = self._known.get(id(optimizer), (None, 0))
        return number if ref is not None and ref() is optimizer else None

    def of(self, optimizer: Any) -> int:
        """Return an optimizer's number; an unknown one gets the next."""
        number = self.find(optimizer)
        if number is None:
            number, self._next = self._next, self._next + 1
            self._known[id(optimizer)] = weakref.ref(optimizer), number
        return number
