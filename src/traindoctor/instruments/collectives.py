"""Counts the collectives that a process enters, and tells which exchange weights or gradients."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Protocol

from traindoctor.instruments.call_log import CallLog
from traindoctor.instruments.modules import tensors_of
from traindoctor.instruments.recorder import here
from traindoctor.target.patches import Notes, inner_replaced, replaced
from traindoctor.trace import CollectiveRow, Place

MOST_ROWS = 64
MOST_LOOKED_AT = 8  # calls from one line whose tensors are looked at
LEAST, MOST = 0.9, 1.1  # of the trained elements: as many are all weights, or gradients, in one
_EXCHANGES = (
    *("all_reduce", "broadcast", "reduce", "reduce_scatter", "reduce_scatter_tensor", "barrier"),
    *("all_gather", "all_gather_into_tensor", "gather", "scatter", "send", "recv"),
    *("all_to_all", "all_to_all_single", "all_gather_object", "gather_object"),
    *("broadcast_object_list", "scatter_object_list"),
)
_UNWRAPPED = ("isend", "irecv")  # which torch does not decorate
_BETWEEN_TWO = ("send", "recv", *_UNWRAPPED)
Entry = tuple[str, int, Place]


class Progress(Protocol):
    """Knows the parameters that optimizers hold, and what became of them."""

    is_between: bool  # a backward pass was, and no step after it

    @property
    def has_stepped(self) -> bool:
        """Whether an optimizer has stepped."""
        ...

    def trained(self) -> list[Any]:
        """Return the parameters."""
        ...


class Collectives:
    """The collectives of a process by name and line, in constant memory.

    Args:
        notes: guard what is noted.
        progress: knows what is trained, and how far that is.
        log: takes those that all ranks have to enter.
    """

    def __init__(self, notes: Notes, progress: Progress, log: CallLog) -> None:
        self.notes, self.progress, self.log = notes, progress, log
        self.rows: dict[tuple[str, Place], CollectiveRow] = {}
        self.depth = 0  # one collective is made of others

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count while inside."""
        import torch.distributed as dist

        with ExitStack() as stack:
            for name in _EXCHANGES:
                function = getattr(dist, name, None)
                if "func" in getattr(getattr(function, "__code__", None), "co_freevars", ()):
                    stack.enter_context(inner_replaced(function, self._noting(name)))
            for name in _UNWRAPPED:
                for owner in (dist, sys.modules["torch.distributed.distributed_c10d"]):
                    if name in vars(owner):
                        stack.enter_context(replaced(owner, name, self._noting(name)))
            yield

    def _noting(self, name: str) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def collective(*args: Any, **kwargs: Any) -> Any:
                if self.depth:
                    return original(*args, **kwargs)
                self.notes(self._count, name, args, kwargs)
                entry = self.notes(self._entry, name, args, kwargs)
                with self.logged(entry):
                    return original(*args, **kwargs)

            return collective

        return make

    @contextmanager
    def logged(self, entry: Entry | None) -> Iterator[None]:
        """Have a collective in the log while inside; None for one that not all ranks enter."""
        self.depth += 1
        number = None if entry is None else self.notes(self.log.enters, *entry)
        is_left = False
        try:
            yield
            is_left = True
        finally:
            self.depth -= 1
            if number is not None and entry is not None:
                self.notes(self.log.leaves, number, *entry, not is_left)

    def _entry(self, name: str, args: Any, kwargs: Any) -> Entry | None:
        import torch.distributed as dist

        given = (*args, *kwargs.values())
        groups = [one for one in given if isinstance(one, dist.ProcessGroup)]
        if name in _BETWEEN_TWO or any(one is not dist.group.WORLD for one in groups):
            return None
        return name, sum(tensor.numel() for tensor in tensors_of((args, kwargs))), here()

    def _count(self, name: str, args: Any, kwargs: Any) -> None:
        key = name, here()
        row = self.rows.get(key)
        if row is None:
            if len(self.rows) >= MOST_ROWS:
                return
            elements = sum(tensor.numel() for tensor in tensors_of((args, kwargs)))
            row = CollectiveRow(name=name, place=key[1], num_elements=elements)
        of = row.of
        if not of and row.count < MOST_LOOKED_AT:
            of = self._of(tensors_of((args, kwargs)))
        later = row.num_later + self.progress.has_stepped
        self.rows[key] = replace(row, count=row.count + 1, num_later=later, of=of)

    def _of(self, given: list[Any]) -> str:
        trained = self.progress.trained()
        pointers = {tensor.data_ptr() for tensor in given if not tensor.is_meta}
        if any(p.data_ptr() in pointers for p in trained):
            return "weights"
        if any(p.grad is not None and p.grad.data_ptr() in pointers for p in trained):
            return "gradients"
        all_elements = sum(p.numel() for p in trained)
        if any(LEAST <= tensor.numel() / max(all_elements, 1) <= MOST for tensor in given):
            return "gradients" if self.progress.is_between else "weights"
        return ""
