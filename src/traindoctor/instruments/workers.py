"""Looks at random generators inside a loader's workers: as they start, and as samples are made.

A worker says what it sees through a pipe, a line at a time, and never waits for a reader.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from traindoctor.target.generators import generators_of, global_states, state_digest
from traindoctor.target.usercode import is_user_file, place_in
from traindoctor.trace import Place, WorkerRow

MOST_PASSES = 2  # of a loader, in which workers are looked at
MOST_WORKERS = 16
MOST_BYTES = 4000  # of one line; a pipe takes so many at once or none
NUM_SAMPLES = 2
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
        if look is None:
            yield
            return
        try:
            loader.worker_init_fn = look
            yield
        finally:
            loader.worker_init_fn = users

    def _look(self, loader: Any, index: int, number: int) -> _Look | None:
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
        return _Look(users, loader.collate_fn, self._writer, (index, number))

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


class _Look:
    """A `worker_init_fn` that runs the user's own and then looks, in the worker's process."""

    def __init__(
        self, users: Callable[[int], Any] | None, collate: Any, writer: int, key: tuple[int, int]
    ) -> None:
        self.users, self.collate, self.writer, self.key = users, collate, writer, key
        self.worker = 0
        self.num_seen = 0
        self.asks: list[bool] = []

    def __call__(self, worker: int) -> None:
        from torch.utils.data import get_worker_info

        info: Any = get_worker_info()
        before: dict[str, int] = {}
        with suppress(Exception):  # whatever is odd here must not be felt in the worker
            _note_questions(info, self.asks)
            before = _attributes(info.dataset)
            self.asks.clear()
        if self.users is not None:
            self.users(worker)
        with suppress(Exception):
            asks = bool(self.asks)
            is_apart = _attributes(info.dataset) != before
            self.asks.clear()
            self._start(worker, info.dataset, asks, is_apart)

    def _start(self, worker: int, dataset: Any, asks: bool, is_apart: bool) -> None:
        self.worker = worker
        self.found = generators_of(dataset, self.collate)
        names = [found.name for found in self.found]
        if self.users is not None:
            names += list(global_states())
        self._say(names=names, asks=asks, apart=is_apart)
        self.asks.clear()
        _Samples(dataset, self._sample)

    def _sample(self) -> bool:
        """Take in that a sample was made; tell whether that is all there is to see."""
        self.num_seen += 1
        with suppress(Exception):
            self._say(asks=bool(self.asks))
        return self.num_seen >= NUM_SAMPLES

    def _say(self, **facts: Any) -> None:
        states = [state_digest(found.generator) for found in self.found]
        if self.users is not None:
            states += global_states().values()
        index, number = self.key
        said = {"loader": index, "number": number, "worker": self.worker, "states": states}
        line = json.dumps(said | facts).encode() + b"\n"
        if len(line) <= MOST_BYTES:
            os.write(self.writer, line)


def _note_questions(info: Any, asks: list[bool]) -> None:
    """Note whenever somebody reads from what `get_worker_info()` returns."""
    kind = type(info)

    def read(self: Any, name: str) -> Any:
        if name in ("id", "num_workers", "seed"):
            asks.append(True)
            del asks[1:]
        return object.__getattribute__(self, name)

    members = {"__slots__": (), "__getattribute__": read, "__module__": kind.__module__}
    object.__setattr__(info, "__class__", type(kind.__name__, (kind,), members))


def _attributes(dataset: Any) -> dict[str, int]:
    """Return a data set's attributes, and its inner data set's, by identity."""
    found: dict[str, int] = {}
    for depth in range(3):
        namespace = getattr(dataset, "__dict__", {})
        found |= {f"{depth}.{name}": id(value) for name, value in namespace.items()}
        dataset = namespace.get("dataset")
    return found


class _Samples:
    """Replaces how a data set's class gives samples, in this process, until enough were seen."""

    def __init__(self, dataset: Any, seen: Callable[[], bool]) -> None:
        from torch.utils.data import IterableDataset

        self.kind, self.seen = type(dataset), seen
        if isinstance(dataset, IterableDataset):
            self.name = "__iter__"
        else:
            self.name = "__getitems__" if hasattr(dataset, "__getitems__") else "__getitem__"
        self.own = vars(self.kind).get(self.name)
        self.original = getattr(self.kind, self.name)
        setattr(self.kind, self.name, self._iterating() if self.name == "__iter__" else self._one())

    def _one(self) -> Any:
        def get(dataset: Any, index: Any) -> Any:
            sample = self.original(dataset, index)
            if self.seen():
                self._put_back()
            return sample

        return get

    def _iterating(self) -> Any:
        def iterate(dataset: Any) -> Iterator[Any]:
            self._put_back()
            return self._samples(iter(self.original(dataset)))

        return iterate

    def _samples(self, samples: Iterator[Any]) -> Iterator[Any]:
        for sample in samples:
            is_last = self.seen()
            yield sample
            if is_last:
                break
        yield from samples

    def _put_back(self) -> None:
        if self.own is not None:
            setattr(self.kind, self.name, self.own)
        else:
            delattr(self.kind, self.name)
