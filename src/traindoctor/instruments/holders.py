"""Finds the variable of the user's running functions that keeps old graphs alive."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from traindoctor.target.usercode import is_user_class, is_user_file, place_of
from traindoctor.trace import Place

MOST_ITEMS = 128  # of a container, its last ones
MOST_NODES = 20_000  # of graphs, for one variable
LEAST_HELD = 4  # graphs of different passes
ALIKE = 0.9  # of the nodes behind the variable with most
BOUNDED = "bounded deque"
# A function that looks at its own variables may keep what we would look at: it is left alone.
_OWN_VIEW = frozenset(("locals", "vars", "exec", "eval", "dir"))


@dataclass(frozen=True, slots=True)
class Holder:
    """A variable with graphs of earlier passes behind it."""

    name: str  # `losses`, or `self.history`
    kind: str  # list, Tensor, …
    num_held: int
    place: Place  # the line that its function has come to


def holder_of(frame: FrameType | None, key: str, oldest: int) -> Holder | None:
    """Return the variable behind which most graphs of passes before `oldest` stand.

    Args:
        frame: where to look, outwards: frames of the user's code.
        key: what marks a graph's node, in its metadata, with an object that has a `number`.
        oldest: a pass's number.
    """
    found: list[Holder] = []
    while frame is not None:
        if is_user_file(frame.f_code.co_filename) and _OWN_VIEW.isdisjoint(frame.f_code.co_names):
            for name, value in list(_variables(frame)):
                held = _held(value, key, oldest)
                if held >= LEAST_HELD:
                    found.append(Holder(name, _kind(value), held, place_of(frame)))
        frame = frame.f_back
    return max(found, key=lambda holder: holder.num_held, default=None)


def keeper_of(frame: FrameType | None, old: set[int]) -> str:
    """Return the variable behind which most nodes of earlier graphs stand, itself one of them.

    Of several that are alike it is the one that was made first.

    Args:
        frame: where to look, outwards: frames of the user's code.
        old: autograd's numbers of those nodes, as far as a later graph has them too.
    """
    found: list[tuple[int, int, str]] = []
    while frame is not None:
        if is_user_file(frame.f_code.co_filename) and _OWN_VIEW.isdisjoint(frame.f_code.co_names):
            for name, value in list(_variables(frame)):
                roots = [node for tensor in _tensors(value) if (node := tensor.grad_fn) is not None]
                numbers = [node._sequence_nr() for node in roots if node._sequence_nr() in old]
                if numbers:
                    behind = sum(node._sequence_nr() in old for node in _behind(roots))
                    found.append((behind, min(numbers), name))
        frame = frame.f_back
    most = max((behind for behind, _, _ in found), default=0)
    alike = [(number, name) for behind, number, name in found if behind >= ALIKE * most]
    return min(alike, default=(0, ""))[1]


def _variables(frame: FrameType) -> Iterator[tuple[str, Any]]:
    """Yield the variables of a frame, and the attributes of the user's objects among them."""
    variables = frame.f_locals
    for name, value in list(variables.items()):
        yield name, value
        if is_user_class(type(value)) and hasattr(value, "__dict__"):
            yield from ((f"{name}.{key}", part) for key, part in list(vars(value).items()))
    # Up to Python 3.12 what a function's frame shows is a copy, which would keep its values alive.
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED and type(variables) is dict:
        variables.clear()


def _held(value: Any, key: str, oldest: int) -> int:
    """Count the passes before `oldest` whose marked nodes stand behind a tensor or a container."""
    roots = [node for tensor in _tensors(value) if (node := tensor.grad_fn) is not None]
    marks = (node.metadata.get(key) for node in _behind(roots))
    return len({mark.number for mark in marks if mark is not None and mark.number < oldest})


def _behind(roots: list[Any]) -> Iterator[Any]:
    """Yield the nodes of some graphs, each once."""
    frontier, seen = list(roots), set[Any]()
    while frontier and len(seen) < MOST_NODES:
        node = frontier.pop()
        if node not in seen:
            seen.add(node)
            yield node
            frontier += [above for above, _ in reversed(node.next_functions) if above is not None]


def _tensors(value: Any, depth: int = 2) -> Iterator[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif depth and type(value) in (list, tuple, deque, dict, set):
        items = list(value.values() if type(value) is dict else value)
        for item in items[-MOST_ITEMS:]:
            yield from _tensors(item, depth - 1)


def _kind(value: Any) -> str:
    """Return a variable's type; a deque that drops its oldest is a kind of its own."""
    if type(value) is deque and value.maxlen is not None:
        return BOUNDED
    return type(value).__name__
