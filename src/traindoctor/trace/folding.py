"""Folds what many processes have of the same step into what tells them apart.

Whether the bits of a tensor are equal on all processes is known from those of the first process and
the first that differ from them. Any more are left out, so that what is held grows with the tensors
and not with the processes; what is folded may be folded again, machine by machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from traindoctor.trace.rows import DigestRow

__all__ = ["Folding"]

Bits = tuple[int | None, ...]
FIELDS = ("before", "reduced", "gradients", "after")


class _Column:
    """The bits of one field at one step, of the processes so far."""

    def __init__(self, first: Bits) -> None:
        self.known = list(first)
        self.differs = [False] * len(first)
        self.first, self.nothing = first, (None,) * len(first)

    def added(self, bits: Bits) -> Bits:
        """Return what a further process adds: itself where all is equal, else what is new."""
        if bits == self.first:
            return self.first
        if len(bits) != len(self.known):
            return bits
        new = [self._new(index, value) for index, value in enumerate(bits)]
        return tuple(new) if any(value is not None for value in new) else self.nothing

    def _new(self, index: int, value: int | None) -> int | None:
        known = self.known[index]
        if value is None or self.differs[index] or value == known:
            return None
        self.known[index] = value if known is None else known
        self.differs[index] = known is not None
        return value


class Folding:
    """Folds the rows of one process after another."""

    def __init__(self) -> None:
        self._columns: dict[tuple[int, int, str], _Column] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def added(self, rows: Iterable[DigestRow]) -> list[DigestRow]:
        """Return the rows of a further process, with as few bits as show what differs."""
        return [self._added(row) for row in rows]

    def _added(self, row: DigestRow) -> DigestRow:
        new: dict[str, Any] = {"parameters": self._names.setdefault(row.parameters, row.parameters)}
        for field in FIELDS:
            bits: Bits = getattr(row, field)
            key = row.step, row.optimizer, field
            if key not in self._columns:
                self._columns[key] = _Column(bits)
            new[field] = self._columns[key].added(bits)
        return replace(row, **new)
