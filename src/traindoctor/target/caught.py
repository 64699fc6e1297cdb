"""Collects what the user's `except` clauses catch, while a target is made or an experiment runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

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


@dataclass(slots=True)
class Seen:
    """What one handler caught from one line: the first of it, and in which batches."""

    handler: Place
    raised: Place
    facts: dict[str, Any]
    batches: Counter[int] = field(default_factory=Counter)
    after_backward: Counter[int] = field(default_factory=Counter)


class Caught:
    """Listens to woven code. A subclass knows where in a run it is."""

    def __init__(self) -> None:
        self.seen: dict[tuple[object, ...], Seen] = {}
        self.order: list[tuple[Seen, int]] = []  # what was caught, and in which batch

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
        vars(error)[_MARK] = (id(self), len(self.order))
        self.order.append((seen, batch))
        seen.batches[batch] += 1
        seen.after_backward[batch] += waits

    def _take_back(self, error: BaseException | None) -> None:
        """Uncount what a handler raised again: the one that keeps it is the one."""
        who, number = (0, 0) if error is None else vars(error).get(_MARK, (0, 0))
        if who == id(self):
            seen, batch = self.order[number]
            seen.batches[batch] -= 1
            seen.after_backward[batch] = 0

    def rows(self) -> tuple[HandledRow, ...]:
        """Return one row for each handler and raising line that kept an exception."""
        return tuple(
            HandledRow(
                handler=seen.handler,
                raised=seen.raised,
                count=sum(seen.batches.values()),
                batches=tuple(sorted(+seen.batches)),
                after_backward=tuple(sorted(+seen.after_backward)),
                **seen.facts,
            )
            for seen in self.seen.values()
            if any(seen.batches.values())
        )


def _described(error: BaseException) -> dict[str, Any]:
    return {
        "type_name": type(error).__name__,
        "message": str(error)[:2000],
        "is_users_type": is_user_class(type(error)),
        "raising_text": raising_text(error.__traceback__),
        "traceback": user_traceback(error),
        **_sought(error),
    }


def _sought(error: BaseException) -> dict[str, Any]:
    """Say which attribute a module lacks that one of the modules in it has."""
    from torch import nn

    module, name = getattr(error, "obj", None), getattr(error, "name", None)
    if not isinstance(error, AttributeError) or not isinstance(module, nn.Module) or not name:
        return {}
    facts = {"sought": name, "sought_on": type(module).__name__}
    for path, inner in module.named_modules():
        spaces = (vars(inner), inner._parameters, inner._buffers, inner._modules)
        if any(name in space for space in spaces):
            return {**facts, "found_on": f"{path} ({type(inner).__name__})"}
    return facts


def _innermost(trace: TracebackType | None) -> tuple[str, int]:
    """Return file and line of the user's innermost frame, cheaply."""
    found = ("", 0)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_user_file(file):
            found = (file, trace.tb_lineno)
        trace = trace.tb_next
    return found
