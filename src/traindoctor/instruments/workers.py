"""Looks at random generators inside a loader's workers: as they start, and as samples are made.

A worker says what it sees through a pipe, a line at a time, and never waits for a reader.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from traindoctor.instruments.inside_worker import Look
from traindoctor.target.generators import generators_of
from traindoctor.target.usercode import is_user_file, place_in
from traindoctor.trace import Place, WorkerRow

MOST_PASSES = 2  # of a loader, in which workers are looked at
MOST_WORKERS = 16
GLOBALS = {
    "random": "random.Random",
    "numpy.random": "numpy.random.RandomState",
    "torch": "torch.Generator",
}


class Workers:
    """Collects what the workers of some loaders say of themselves."""

    def __init__(self) -> None:
        self._reader, self._writer = -1, -1
        self._text = b""
        self._starts: dict[tuple[int, int, int], dict[str, Any]] = {}
        self._states: dict[tuple[int, int, int], list[list[str]]] = {}
        self._origins: dict[str, tuple[str, Place]] = {}  # kind and place by generator's name

    @contextmanager
    def watching(self, loader: Any, index: int, number: int) -> Iterator[None]:
        """Have the workers that start inside looked at, if they are forked.

        Args:
            loader: torch's DataLoader; its `worker_init_fn` is another one meanwhile.
            index: the loader's.
            number: of its pass.
        """
        look, users = self._look(loader, index, number), loader.worker_init_fn
        is_set = False
        if look is not None:
            with suppress(Exception):  # a class of the user's may guard its attributes
                loader.worker_init_fn = look
                is_set = True
        try:
            yield
        finally:
            if is_set:
                loader.worker_init_fn = users

    def _look(self, loader: Any, index: int, number: int) -> Look | None:
        """Return what is to look inside the workers, or None where nothing can."""
        if not _is_of_interest(loader, number):
            return None
        users = loader.worker_init_fn
        try:
            origins = {
                f"{index}.{found.name}": (found.kind, found.place)
                for found in generators_of(loader.dataset, loader.collate_fn)
            }
        except Exception:  # objects of the user's may refuse to be looked at
            return None
        if users is not None:
            place = _place_of(users)
            origins |= {f"{index}.{name}": (kind, place) for name, kind in GLOBALS.items()}
        if self._writer < 0:
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
        self._origins |= origins
        return Look(users, loader.collate_fn, self._writer, (index, number))

    def rows(self) -> tuple[WorkerRow, ...]:
        """Return what was said so far: a row for each worker, and for each of its generators."""
        self._read()
        return tuple(
            row for key in sorted(self._starts) for row in self._of(key, self._starts[key])
        )

    def close(self) -> None:
        """Read what is left and close the pipe."""
        self._read()
        for end in (self._reader, self._writer):
            if end >= 0:
                os.close(end)
        self._reader = self._writer = -1

    def _of(self, key: tuple[int, int, int], start: dict[str, Any]) -> Iterator[WorkerRow]:
        index, number, worker = key
        said = self._states.get(key, [])
        facts: dict[str, Any] = {
            "loader": index,
            "number": number,
            "worker": worker,
            "asks_who_it_is": bool(start["asks"] or start.get("asked")),
            "is_set_apart": bool(start["apart"]),
        }
        yield WorkerRow(**facts)
        for position, name in enumerate(start["names"]):
            kind, place = self._origins.get(f"{index}.{name}", ("", Place()))
            yield WorkerRow(
                generator=name,
                kind=kind,
                place=place,
                is_global=name in GLOBALS,
                states=tuple(states[position] for states in said),
                **facts,
            )

    def _read(self) -> None:
        while self._reader >= 0:
            try:
                more = os.read(self._reader, 1 << 16)
            except BlockingIOError:
                break
            if not more:
                break
            self._text += more
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            said = json.loads(line)
            key = (said["loader"], said["number"], said["worker"])
            if "names" in said:
                self._starts[key] = said
            elif key in self._starts:
                self._starts[key]["asked"] = said["asks"]
            self._states.setdefault(key, []).append(said["states"])


def _is_of_interest(loader: Any, number: int) -> bool:
    if not 1 < loader.num_workers <= MOST_WORKERS or number >= MOST_PASSES:
        return False
    context = loader.multiprocessing_context
    if context is not None:
        return str(context.get_start_method()) == "fork"
    method = multiprocessing.get_start_method(allow_none=True)
    return (method or multiprocessing.get_all_start_methods()[0]) == "fork"


def _place_of(function: Any) -> Place:
    """Return where a function of the user's is defined."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None or not is_user_file(code.co_filename):
        return Place()
    return place_in(code.co_filename, code.co_firstlineno)
