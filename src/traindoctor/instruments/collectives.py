"""Counts the collectives that a process enters, and tells which exchange weights or gradients."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from traindoctor.instruments.call_log import CallLog
from traindoctor.instruments.exchanges import Exchanges
from traindoctor.instruments.modules import tensors_of
from traindoctor.instruments.recorder import here
from traindoctor.instruments.turns import Turns
from traindoctor.target.patches import Notes, inner_replaced, replaced
from traindoctor.trace import CallRow, CollectiveRow, Place

MOST_ROWS = 64
MOST_LOOKED_AT = 8  # calls from one line whose tensors are looked at
LEAST, MOST = 0.9, 1.1  # of the trained elements: as many are all weights, or gradients, in one
INIT = "init_process_group"
_COLLECTIVES = (
    *("all_reduce", "broadcast", "reduce", "barrier", "gather", "scatter"),
    *("all_gather", "all_gather_into_tensor", "all_gather_single"),
    *("reduce_scatter", "reduce_scatter_tensor", "reduce_scatter_single"),
    *("all_to_all", "all_to_all_single", "all_gather_object", "gather_object"),
    *("broadcast_object_list", "scatter_object_list"),
)


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
    """The collectives and messages of a process by name and line, in constant memory.

    Args:
        notes: guard what is noted.
        progress: knows what is trained, and how far that is.
        log: takes those that others have to enter as well.
        exchanges: looks at what they do to their tensors.
        world_size: how many processes there are.
    """

    def __init__(
        self,
        notes: Notes,
        progress: Progress,
        log: CallLog,
        exchanges: Exchanges,
        world_size: int = 1,
    ) -> None:
        self.notes, self.progress, self.log, self.exchanges = notes, progress, log, exchanges
        self.world_size = world_size
        self.turns = Turns()
        self.rows: dict[tuple[str, Place], CollectiveRow] = {}
        self.thread = threading.get_ident()
        self.depth = 0  # one collective is made of others
        self.works: WeakKeyDictionary[Any, CallRow] = WeakKeyDictionary()  # that go on

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count while inside."""
        import torch.distributed as dist
        from torch.distributed.algorithms.join import Join

        with ExitStack() as stack:
            for name in (*_COLLECTIVES, INIT):
                function = getattr(dist, name, None)
                if "func" in getattr(getattr(function, "__code__", None), "co_freevars", ()):
                    stack.enter_context(inner_replaced(function, self._noting(name)))
            # Where `send`, `isend` and a batch of both end up: `P2POp` knows the functions by name.
            for name, told in (("send", "send"), ("recv", "recv"), ("recv_anysource", "recv")):
                stack.enter_context(replaced(dist.ProcessGroup, name, self._posting(told)))
            stack.enter_context(replaced(dist.Work, "wait", self._waiting))
            stack.enter_context(replaced(Join, "__enter__", self._joining(1)))
            stack.enter_context(replaced(Join, "__exit__", self._joining(-1)))
            yield

    def _is_seen(self) -> bool:
        """Tell whether a call is one of the script's own; those of other threads are not logged."""
        if threading.get_ident() == self.thread:
            return not self.depth
        self.notes(self.log.is_in_part)
        return False

    def _noting(self, name: str) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            parameters = list(inspect.signature(original).parameters)
            position = parameters.index("group") if "group" in parameters else len(parameters)

            def collective(*args: Any, **kwargs: Any) -> Any:
                if not self._is_seen():
                    return original(*args, **kwargs)
                group = kwargs.get("group", args[position] if position < len(args) else None)
                row = self.notes(self._entry, name, group, args, kwargs)
                look = self.notes(self.exchanges.begins, row, args, kwargs) if row else None
                with self.logged(row):
                    result = original(*args, **kwargs)
                if row is not None:
                    self.notes(self._returned, row, look, result)
                return result

            return collective

        return make

    def _posting(self, name: str) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def post(group: Any, tensors: Any, *args: Any, **kwargs: Any) -> Any:
                if not self._is_seen():
                    return original(group, tensors, *args, **kwargs)
                row = self.notes(self._message, name, group, tensors, args)
                look = self.notes(self.exchanges.begins, row, (tensors,), {}) if row else None
                with self.logged(row):
                    work = original(group, tensors, *args, **kwargs)
                if row is not None:
                    self.notes(self._returned, row, look, work)
                return work

            return post

        return make

    def _waiting(self, original: Any) -> Any:
        def wait(work: Any, *args: Any, **kwargs: Any) -> Any:
            row = self.works.get(work)
            if row is None or threading.get_ident() != self.thread:
                return original(work, *args, **kwargs)
            with self.logged(replace(row, is_wait=True, place=here())):
                result = original(work, *args, **kwargs)
            self.works.pop(work, None)
            self.notes(self.exchanges.waited, work)
            return result

        return wait

    def _joining(self, change: int) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def join(*args: Any, **kwargs: Any) -> Any:
                self.turns.num_joined += max(change, 0)
                try:
                    return original(*args, **kwargs)
                finally:
                    self.turns.num_joined += min(change, 0)

            return join

        return make

    @contextmanager
    def logged(self, row: CallRow | None) -> Iterator[None]:
        """Have an exchange in the log while inside; None for one that is not to stand there."""
        self.depth += 1
        entered = None if row is None else self.notes(self.log.enters, row)
        is_left = False
        try:
            yield
            is_left = True
        finally:
            self.depth -= 1
            if entered is not None:
                self.notes(self.log.leaves, entered, not is_left)

    def together(self, name: str, group: Any) -> CallRow | None:
        """Return the turn of what a group does as one, beside its collectives."""
        row: CallRow | None = self.notes(self.turns.collective, name, group, here())
        return row

    def _entry(self, name: str, group: Any, args: Any, kwargs: Any) -> CallRow | None:
        import torch.distributed as dist

        place = here()
        if name == INIT:
            return self.turns.first(name, place, self.world_size)
        if group is not None and not isinstance(group, dist.ProcessGroup):
            return None  # this process is none of the group
        tensors = tensors_of((args, kwargs))
        self._count(name, place, tensors)
        return self.turns.collective(
            name,
            group,
            place,
            elements=sum(tensor.numel() for tensor in tensors),
            size=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        )

    def _message(self, name: str, group: Any, tensors: Any, args: Any) -> CallRow | None:
        place = here()
        self._count(name, place, tensors)
        if len(args) < 2:  # from whoever sends: then nobody knows whose turn it is
            self.log.is_in_part()
            return CallRow(name=name, place=place)
        sized = CallRow(
            name=name,
            place=place,
            num_elements=sum(tensor.numel() for tensor in tensors),
            num_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        )
        return self.turns.message(name, group, args[0], args[1], sized)

    def _returned(self, row: CallRow, look: Any, result: Any) -> None:
        import torch.distributed as dist

        if isinstance(result, dist.Work):
            self.works[result] = row
            self.exchanges.goes_on(look, result)
        else:
            self.exchanges.ends(look)

    def _count(self, name: str, place: Place, tensors: list[Any]) -> None:
        key = name, place
        row = self.rows.get(key)
        if row is None:
            if len(self.rows) >= MOST_ROWS:
                return
            elements = sum(tensor.numel() for tensor in tensors)
            row = CollectiveRow(name=name, place=place, num_elements=elements)
        of = row.of
        if not of and row.count < MOST_LOOKED_AT:
            of = self._of(tensors)
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
