"""What workers draw and share is read inside them, and named at the user's line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, get_worker_info

from traindoctor.instruments.loaders import loaders_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.generators import generators_of, state_digest
from traindoctor.trace import WorkerRow

shared = np.random.default_rng(0)


class Noise:
    """A transform with a generator of its own."""

    def __init__(self) -> None:
        self.random = random.Random(0)

    def __call__(self, value: float) -> float:
        return value + self.random.random()


class Noisy(Dataset[Any]):
    """Draws in the way that it is told, for each of its twelve samples."""

    def __init__(self, how: str) -> None:
        self.how, self.rng = how, np.random.default_rng(0)
        self.transforms = [Noise()]

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> float:
        if self.how == "own":
            return index + self.rng.random()
        if self.how == "transform":
            return self.transforms[0](index)
        if self.how == "module":
            return index + shared.random()
        if self.how == "numpy":
            return index + np.random.rand()
        if self.how == "by index":
            self.rng = np.random.default_rng(index)
            return index + self.rng.random()
        return float(index)


def reseed(worker: int) -> None:
    info: Any = get_worker_info()
    info.dataset.rng = np.random.default_rng(info.seed)


def seed_all_alike(worker: int) -> None:
    np.random.seed(0)


def workers_of(dataset: Any, init: Any = None, number: int = 2) -> list[WorkerRow]:
    recorder = Recorder()
    with loaders_seen(recorder):
        loader = DataLoader(dataset, 2, num_workers=number, worker_init_fn=init)
        list(loader)
        assert loader.worker_init_fn is init
    return recorder.workers


def states_of(rows: list[WorkerRow], generator: str) -> list[tuple[str, ...]]:
    return [row.states for row in rows if row.generator == generator]


@pytest.mark.parametrize(
    ("how", "generator"),
    [("own", "dataset.rng"), ("transform", "dataset.transforms[0].random"), ("module", "shared")],
)
def test_a_copied_generator_is_in_one_state_in_all_workers(how: str, generator: str) -> None:
    rows = workers_of(Noisy(how))
    first, second = states_of(rows, generator)
    assert first == second
    assert len(set(first)) == 3


def test_a_generator_seeded_in_the_worker_or_by_index_is_not() -> None:
    first, second = states_of(workers_of(Noisy("own"), reseed), "dataset.rng")
    assert not set(first) & set(second)
    first, second = states_of(workers_of(Noisy("by index")), "dataset.rng")
    assert len({*first, *second}) == 1  # the one that was copied, which nobody draws from


def test_the_process_own_generators_are_looked_at_where_somebody_seeds_them() -> None:
    assert states_of(workers_of(Noisy("numpy")), "numpy.random") == []
    first, second = states_of(workers_of(Noisy("numpy"), seed_all_alike), "numpy.random")
    assert first == second
    assert len(set(first)) == 3


def test_one_worker_is_not_looked_at() -> None:
    assert workers_of(Noisy("own"), number=1) == []


def test_a_generator_is_named_where_it_is_made() -> None:
    lines = {found.name: found.place.text for found in generators_of(Noisy("own"))}
    assert lines == {
        "dataset.rng": "self.how, self.rng = how, np.random.default_rng(0)",
        "shared": "shared = np.random.default_rng(0)",
        "dataset.transforms[0].random": "self.random = random.Random(0)",
    }
    inner = {found.name for found in generators_of(Subset(Noisy("own"), [0, 1]))}
    assert "dataset.dataset.rng" in inner


@pytest.mark.parametrize(
    "generator",
    [
        np.random.default_rng(0),
        np.random.RandomState(0),
        random.Random(0),
        torch.Generator().manual_seed(0),
    ],
)
def test_reading_a_state_leaves_it(generator: Any) -> None:
    assert state_digest(generator) == state_digest(generator)
    if isinstance(generator, torch.Generator):
        before = state_digest(generator)
        torch.rand(1, generator=generator)
    else:
        before = state_digest(generator)
        generator.random()
    assert state_digest(generator) != before


class Stream(IterableDataset[int]):
    def __init__(self, shares: bool) -> None:
        self.shares, self.start, self.step = shares, 0, 1

    def __iter__(self) -> Iterator[int]:
        first, step = self.start, self.step
        info = get_worker_info() if self.shares else None
        if info is not None:
            first, step = info.id, info.num_workers
        return iter(range(first, 16, step))


def divide(worker: int) -> None:
    info: Any = get_worker_info()
    stream = info.dataset
    stream.start, stream.step = 4 * worker, 2


@pytest.mark.parametrize(
    ("shares", "init", "asks", "is_set_apart"),
    [(False, None, False, False), (True, None, True, False), (False, divide, False, True)],
)
def test_a_stream_that_asks_which_worker_it_is_in_is_told(
    shares: bool, init: Any, asks: bool, is_set_apart: bool
) -> None:
    rows = [row for row in workers_of(Stream(shares), init) if not row.generator]
    assert len(rows) == 2
    assert {row.asks_who_it_is for row in rows} == {asks}
    assert rows[1].is_set_apart == is_set_apart


def test_a_stream_gives_the_same_items_when_it_is_looked_at() -> None:
    def read() -> list[Any]:
        return [batch.tolist() for batch in DataLoader(Stream(True), 2, num_workers=2)]

    bare = read()
    with loaders_seen(Recorder()):
        assert read() == bare


def failing(worker: int) -> None:
    raise RuntimeError("cannot start")


def test_an_error_of_the_users_own_function_is_theirs() -> None:
    with loaders_seen(Recorder()), pytest.raises(RuntimeError, match="cannot start"):
        list(DataLoader(Noisy("own"), 2, num_workers=2, worker_init_fn=failing))
