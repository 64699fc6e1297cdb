"""Watches the first of the processes that `torch.multiprocessing` starts: training may be there.

It is watched from the moment in which it unpickles what it is to run, which is the script's own
function and nothing around it. Its trace becomes the run's where the run itself trains nothing.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traindoctor.watching.orders import Orders
    from traindoctor.watching.session import Session

_ROOT = str(Path(__file__).resolve().parents[2])


class Spawned:
    """Stands for a function of the script's until it is pickled for a process."""

    def __init__(self, function: Callable[..., Any], orders: Orders) -> None:
        self.function, self.orders = function, orders
        self.num_pickled = 0

    def __call__(self, *args: Any) -> Any:
        """Run it, where nothing was pickled."""
        return self.function(*args)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Leave the function alone for the other processes; the first one is watched."""
        self.num_pickled += 1
        if self.num_pickled > 1:
            return unwatched, (self.function,)
        return watched, (self.function, self.orders)


def unwatched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return it."""
    return function


def watched(function: Callable[..., Any], orders: Orders) -> Callable[..., Any]:
    """Begin to watch this process, and return what it is to run."""
    with suppress(Exception):  # whatever it is, the script's process goes on
        _begin(orders)
    return function


def tap_processes(session: Session) -> None:
    """Tap how processes are started, unless they could not import what is pickled for them."""
    import torch.multiprocessing

    if _ROOT not in map(os.path.realpath, sys.path):
        return
    module = sys.modules["torch.multiprocessing.spawn"]
    original = vars(module)["start_processes"]

    @functools.wraps(original)
    def start_processes(fn: Any, *args: Any, **kwargs: Any) -> Any:
        is_first = session.is_ours() and not _trace_of(session.orders).exists()
        is_pickled = "fork" not in (*args, *kwargs.values())
        watch = is_first and is_pickled
        return original(Spawned(fn, session.orders) if watch else fn, *args, **kwargs)

    vars(module)["start_processes"] = start_processes
    vars(torch.multiprocessing)["start_processes"] = start_processes


def settle(session: Session) -> None:
    """Take over the trace of a process, if the run ended well and has trained nothing itself."""
    theirs = _trace_of(session.orders)
    if not theirs.exists():
        return
    facts = session.facts()
    if not facts["num_steps"] and not facts["num_passes"] and not session.recorder.exceptions:
        with (
            closing(sqlite3.connect(theirs)) as source,
            closing(sqlite3.connect(session.orders.trace)) as target,
        ):
            source.backup(target)
    for ending in ("", "-wal", "-shm"):
        Path(f"{theirs}{ending}").unlink(missing_ok=True)


def _begin(orders: Orders) -> None:
    import atexit

    from traindoctor.watching.session import Session

    session = Session(replace(orders, trace=str(_trace_of(orders))))
    session.begin()
    session.torch_imported()
    atexit.register(session.end)


def _trace_of(orders: Orders) -> Path:
    return Path(orders.trace).with_suffix(".spawned.trace")
