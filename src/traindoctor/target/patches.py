"""Puts something in the place of a function of torch's, and takes it out again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from traindoctor.errors import told

# Python passes frames of such files over when it looks for the line that a warning is about.
UNSEEN = "<traindoctor, unseen like importlib._bootstrap>"


@contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put `make(original)` under a name of a class or module while inside.

    What user code has put over it in the meantime stays; it calls a replacement that is inert.
    """
    original = vars(owner)[name]
    new = _disguised(make(original), original)
    setattr(owner, name, new)
    try:
        yield
    finally:
        if vars(owner).get(name) is new:
            setattr(owner, name, original)


@contextmanager
def inner_replaced(decorated: Any, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put `make(original)` in the place of what a decorator of torch's has wrapped.

    The function that everyone has imported stays the same object: it is found under any name.
    """
    cells = dict(zip(decorated.__code__.co_freevars, decorated.__closure__ or (), strict=True))
    cell = cells["func"]
    original = cell.cell_contents
    new = _disguised(make(original), original)
    cell.cell_contents = new
    try:
        yield
    finally:
        if cell.cell_contents is new:
            cell.cell_contents = original


def _disguised(function: FunctionType, original: Any) -> Any:
    """Give a replacement the original's name and signature, and no frame that a warning names."""
    function.__code__ = function.__code__.replace(co_filename=UNSEEN)
    return functools.wraps(original)(function)


class Notes:
    """What an observer notes: silent when it is over, and for good once it has failed.

    User code is never to feel that it is observed: what noting raises is handed to `failed`.
    """

    def __init__(self, failed: Callable[[str], None] = lambda _: None) -> None:
        self.failed = failed
        self.is_over = self.has_failed = False

    def __call__(self, act: Callable[..., Any], *args: Any) -> Any:
        """Return what `act` returns, or None."""
        return None if self.is_over else self.guarded(act, *args)

    def guarded(self, act: Callable[..., Any], *args: Any) -> Any:
        """Return what `act` returns, also when all is over; None where it raises."""
        if self.has_failed:
            return None
        try:
            return act(*args)
        except Exception as error:  # torch's objects may be of any kind, user code's all the more
            self.has_failed = True
            self.failed(told(error))
        return None

    def close(self) -> None:
        """Note nothing more."""
        self.is_over = True
