"""Walks what the user's functions and objects hold: closures, attributes, containers."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator, Mapping
from types import CellType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from traindoctor.target.usercode import is_user_class, is_user_file

if TYPE_CHECKING:
    from traindoctor.target.setup import TrainingSetup

MOST_OBJECTS = 5_000
MOST_ITEMS = 200  # of one container


def roots_of(setup: TrainingSetup) -> dict[str, Any]:
    """Return the setup's parts by name."""
    names = ("model", "loss_fn", "train_step", "train_loop", "scheduler", "loader")
    return {name: getattr(setup, name) for name in names if getattr(setup, name) is not None}


def schedulers_of(setup: TrainingSetup) -> list[Any]:
    """Return the learning rate schedulers that the setup's parts hold."""
    from torch.optim.lr_scheduler import LRScheduler

    found = [part for _, part in held(roots_of(setup)) if isinstance(part, LRScheduler)]
    return [s for s in found if getattr(s, "optimizer", None) is not None]


def held(roots: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what the roots hold, each object once, with the names that lead to it.

    Entered are functions of the user's (their closures, defaults and the globals they name),
    objects of the user's classes, and containers; modules of a library are yielded only.
    """
    waiting = deque((name, part) for name, part in roots.items())
    seen: dict[int, Any] = {}
    while waiting and len(seen) < MOST_OBJECTS:
        path, part = waiting.popleft()
        if id(part) in seen or isinstance(part, str | bytes | int | float | type(None) | type):
            continue
        seen[id(part)] = part
        yield path, part
        waiting.extend((f"{path}.{name}" if name else path, inner) for name, inner in _inside(part))


def _inside(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, MethodType):
        yield "self", part.__self__
        yield "function", part.__func__
    elif isinstance(part, FunctionType):
        if is_user_file(part.__code__.co_filename):
            yield from _named(part)
    elif isinstance(part, functools.partial):
        yield "func", part.func
        yield "args", part.args
        yield "keywords", part.keywords
    elif isinstance(part, CellType):
        yield from _content(part)
    elif isinstance(part, dict):
        yield from ((str(key), value) for key, value in list(part.items())[:MOST_ITEMS])
    elif isinstance(part, list | tuple | set | deque):
        yield from ((str(n), item) for n, item in enumerate(list(part)[:MOST_ITEMS]))
    elif is_user_class(type(part)) and hasattr(part, "__dict__"):
        yield from vars(part).items()


def _named(function: FunctionType) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    yield from zip(code.co_freevars, function.__closure__ or (), strict=False)
    yield "defaults", (function.__defaults__, function.__kwdefaults__)
    names = function.__globals__
    yield from ((name, names[name]) for name in code.co_names if name in names)


def _content(cell: CellType) -> Iterator[tuple[str, Any]]:
    try:
        yield "", cell.cell_contents
    except ValueError:  # nothing was assigned yet
        return
