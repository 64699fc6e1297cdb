"""Collects what the user's `except` clauses catch, while a target is made or an experiment runs."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

from traindoctor.errors import words_of
from traindoctor.target.usercode import (
    is_user_class,
    is_user_file,
    place_of,
    raised_place,
    raising_text,
    user_traceback,
)
from traindoctor.trace import HandledRow, Place

# Left on a caught exception, to know it again; holding it would hold every tensor of its frames.
_MARK = "__traindoctor__"
MOST_BATCHES = 1000  # that are told apart, for each handler and raising line


@dataclass(slots=True)
class Seen:
    """What one handler caught from one line: the first of it, and in which batches."""

    handler: Place
    raised: Place
    facts: dict[str, Any]
    count: int = 0
    batches: Counter[int] = field(default_factory=Counter)
    after_backward: Counter[int] = field(default_factory=Counter)

    def add(self, batch: int, waits: bool) -> None:
        """Count one more, in a batch that may wait for a step after its backward pass."""
        self.count += 1
        if batch in self.batches or len(self.batches) < MOST_BATCHES:
            self.batches[batch] += 1
            self.after_backward[batch] += waits

    def take_back(self, batch: int) -> None:
        """Uncount one."""
        self.count -= 1
        if batch in self.batches:
            self.batches[batch] -= 1
            self.after_backward[batch] = 0


class Caught:
    """Listens to woven code. A subclass knows where in a run it is."""

    def __init__(self) -> None:
        self.seen: dict[tuple[object, ...], Seen] = {}
        self.last: tuple[Seen, int] | None = None  # what was caught last, and in which batch

    def where(self) -> tuple[int, bool]:
        """Return the batch, and whether it waits for a step after its backward pass."""
        return -1, False

    def facts(self) -> dict[str, Any]:
        """Return what else a row is to say of the moment."""
        return {"phase": "setup"}

    def counted(self, frame: FrameType) -> None:
        """Take no notice of running totals."""

    def caught(self, frame: FrameType, error: BaseException) -> None:
        """Count an exception for its handler and raising line."""
        key = (frame.f_code, frame.f_lineno, type(error), *_innermost(error.__traceback__))
        seen = self.seen.get(key)
        if seen is None:
            raised = raised_place(error.__traceback__)
            facts = {**_described(error), **self.facts()}
            seen = self.seen[key] = Seen(place_of(frame), raised, facts)
        self._take_back(error)
        self._take_back(error.__cause__)
        batch, waits = self.where()
        _marks(error)[_MARK] = (id(self), seen, batch)
        self.last = (seen, batch)
        seen.add(batch, waits)

    def _take_back(self, error: BaseException | None) -> None:
        """Uncount what a handler raised again: the one that keeps it is the one."""
        who, *what = (0,) if error is None else _marks(error).get(_MARK, (0,))
        if who == id(self):
            seen, batch = what
            seen.take_back(batch)

    def rows(self) -> tuple[HandledRow, ...]:
        """Return one row for each handler and raising line that kept an exception."""
        return tuple(
            HandledRow(
                handler=seen.handler,
                raised=seen.raised,
                count=seen.count,
                batches=tuple(sorted(+seen.batches)),
                after_backward=tuple(sorted(+seen.after_backward)),
                **seen.facts,
            )
            for seen in self.seen.values()
            if seen.count > 0
        )


def _marks(error: BaseException) -> dict[str, Any]:
    """Return where an exception keeps its attributes, whatever its class makes of `__dict__`."""
    attributes: dict[str, Any] = vars(BaseException)["__dict__"].__get__(error)
    return attributes


def _described(error: BaseException) -> dict[str, Any]:
    return {
        "type_name": type(error).__name__,
        "message": words_of(error),
        "is_users_type": is_user_class(type(error)),
        "raising_text": raising_text(error.__traceback__),
        "traceback": user_traceback(error),
        **_sought(error),
    }


def _sought(error: BaseException) -> dict[str, Any]:
    """Say which attribute a module lacks that one of the modules in it has."""
    module: Any = getattr(error, "obj", None)
    name = getattr(error, "name", None)
    if not isinstance(error, AttributeError) or not name or not _is_module(module):
        return {}
    facts = {"sought": name, "sought_on": type(module).__name__}
    for path, inner in module.named_modules():
        spaces = (vars(inner), inner._parameters, inner._buffers, inner._modules)
        if any(name in space for space in spaces):
            return {**facts, "found_on": f"{path} ({type(inner).__name__})"}
    return facts


def _is_module(thing: Any) -> bool:
    torch = sys.modules.get("torch")  # where nobody imported it there are no modules
    return torch is not None and isinstance(thing, torch.nn.Module)


def _innermost(trace: TracebackType | None) -> tuple[str, int]:
    """Return file and line of the user's innermost frame, cheaply."""
    found = ("", 0)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_user_file(file):
            found = (file, trace.tb_lineno)
        trace = trace.tb_next
    return found
