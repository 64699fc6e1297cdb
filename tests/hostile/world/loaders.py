"""Loaders, by name: each is made of a function that makes a batch of its number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from tests.hostile.world.things import ERRORS, Chameleon, Touchy
from torch.utils.data import DataLoader, Dataset, IterableDataset

Make = Callable[[int], Any]
NUMBER = 6


def fail(error: str) -> Any:
    raise ERRORS[error]()


class Own:
    """A loader of the user's own that goes wrong at one batch."""

    def __init__(self, make: Make, number: int = NUMBER, error: str = "", at: int = -1) -> None:
        self.make, self.number, self.error, self.at = make, number, error, at

    def __iter__(self) -> Iterator[Any]:
        for index in range(self.number):
            if index == self.at:
                fail(self.error)
            yield self.make(index)


class Lying(Own):
    """Whatever its length is said to be, it is not."""

    def __init__(self, make: Make, said: Any) -> None:
        super().__init__(make)
        self.said = said

    def __len__(self) -> int:
        if isinstance(self.said, str) and self.said in ERRORS:
            fail(self.said)
        return self.said  # type: ignore[no-any-return]


class Once(Own):
    """An iterator: it can be gone through once."""

    def __init__(self, make: Make, end: Callable[[], Any] = StopIteration) -> None:
        super().__init__(make)
        self.index, self.end = -1, end

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        self.index += 1
        if self.index >= NUMBER:
            raise self.end()
        return self.make(self.index)


class Iter(Own):
    """Its `__iter__` returns something else."""

    def __init__(self, make: Make, returned: Any) -> None:
        super().__init__(make)
        self.returned = returned

    def __iter__(self) -> Any:
        return self.returned


class Looked(Own):
    """Raises when somebody looks at what a loader usually has."""

    @property
    def dataset(self) -> Any:
        return fail("unspeakable")

    batch_size = sampler = batch_sampler = num_workers = generator = collate_fn = dataset
    drop_last = worker_init_fn = timeout = __len__ = dataset


class Open(Own):
    """Has every attribute."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Chameleon()


class Items(Dataset):
    """Samples that go wrong at one index."""

    def __init__(self, make: Make, error: str = "", at: int = -1, length: Any = 2 * NUMBER) -> None:
        self.make, self.error, self.at, self.length = make, error, at, length

    def __getitem__(self, index: int) -> Any:
        if index == self.at:
            fail(self.error)
        return self.make(index)

    def __len__(self) -> int:
        return self.length  # type: ignore[no-any-return]


class Stream(IterableDataset):
    def __init__(self, make: Make, error: str = "", number: int = NUMBER) -> None:
        self.make, self.error, self.number = make, error, number

    def __iter__(self) -> Iterator[Any]:
        for index in range(self.number):
            yield self.make(index)
        if self.error:
            fail(self.error)


class Sampled(torch.utils.data.Sampler):
    """Draws what there is not."""

    def __iter__(self) -> Iterator[Any]:
        return iter([0, 1, 10**9, "two"])  # type: ignore[list-item]

    def __len__(self) -> int:
        return 4


def _whole(data: Any, **more: Any) -> DataLoader:
    return DataLoader(data, batch_size=None, **more)


LOADERS: dict[str, Callable[[Make], Any]] = {
    "plain": lambda make: [make(i) for i in range(NUMBER)],
    "own": Own,
    "torch's": lambda make: _whole(Items(make)),
    "generator": lambda make: (make(i) for i in range(NUMBER)),
    "never ends": lambda make: map(make, itertools.count()),
    "never ends, anew": lambda make: Own(make, 10**9),
    "one batch": lambda make: Own(make, 1),
    "empty": lambda make: [],
    "empty, own": lambda make: Own(make, 0),
    "one pass": Once,
    "one pass, exit": lambda make: Once(make, SystemExit),
    **{f"dies at {at}": (lambda make, at=at: Own(make, NUMBER, "value", at)) for at in (0, 1, 3)},
    **{f"raises {name}": (lambda make, e=name: Own(make, NUMBER, e, 2)) for name in ERRORS},
    **{
        f"length {said}": (lambda make, said=said: Lying(make, said))
        for said in (0, 1, -1, 10**6, 2**70, "six", None, 2.5, True, *ERRORS)
    },
    "length infinite": lambda make: Lying(make, float("inf")),
    "iter None": lambda make: Iter(make, None),
    "iter list": lambda make: Iter(make, [1, 2]),
    "iter touchy": lambda make: Iter(make, Touchy()),
    "iter raises": lambda make: Iter.__new__(Iter),
    "looked at": Looked,
    "has everything": Open,
    "sample raises": lambda make: _whole(Items(make, "unspeakable", 3)),
    "sample exits": lambda make: _whole(Items(make, "exit", 3)),
    "samples lie": lambda make: _whole(Items(make, length=10**12)),
    "samples negative": lambda make: _whole(Items(make, length=5), sampler=Sampled()),
    "stream raises": lambda make: _whole(Stream(make, "slotted")),
    "stream never ends": lambda make: _whole(Stream(make, number=10**9)),
    "collate raises": lambda make: DataLoader(Items(make), 4, collate_fn=lambda _: fail("value")),
    "collate": lambda make: DataLoader(Items(make), 4),
    "shuffled": lambda make: DataLoader(Items(make), 4, shuffle=True),
    "changes": lambda make: [make(0), None, make(1), "x", make(2), ()],
    "one object": lambda make: [make(0)] * NUMBER,
    "dict": lambda make: {"a": make(0), "b": make(1)},
    "string": lambda make: "abc",
    "int": lambda make: 3,
    "none": lambda make: None,
    "touchy": lambda make: Touchy(),
    "chameleon": lambda make: Chameleon(),
    "class": lambda make: DataLoader,
    "samples": Items,
}
