"""What runs inside a loader's worker: it looks at random generators and says what it sees."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from traindoctor.target.generators import generators_of, global_states, state_digest

MOST_BYTES = 4000  # of one line; a pipe takes so many at once or none
NUM_SAMPLES = 2


class Look:
    """A `worker_init_fn` that runs the user's own and then looks, in the worker's process."""

    def __init__(
        self, users: Callable[[int], Any] | None, collate: Any, writer: int, key: tuple[int, int]
    ) -> None:
        self.users, self.collate, self.writer, self.key = users, collate, writer, key
        self.worker = 0
        self.num_seen = 0
        self.asks: list[bool] = []

    def __call__(self, worker: int) -> None:
        """Do what the user's function does, then begin to look."""
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
