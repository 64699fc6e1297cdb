"""An iterator that is watched is the real one to everybody, and costs a bounded amount."""

from __future__ import annotations

import copy
import gc
import inspect
import itertools
import os
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from traindoctor.instruments.loaders import loaders_seen
from traindoctor.instruments.recorder import Recorder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


class Numbers(Dataset[Any]):
    """Sample `i` holds the number i."""

    def __init__(self, number: int = 24) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Any:
        return {"x": torch.full((3,), float(index)), "labels": torch.tensor(index % 2)}


def test_it_is_the_real_iterator_to_whoever_asks() -> None:
    loader = DataLoader(Numbers(), 4)
    names = inspect.signature(DataLoader)
    with loaders_seen(Recorder()):
        assert inspect.signature(DataLoader) == names
        iterator: Any = iter(loader)
        assert isinstance(iterator, _BaseDataLoaderIter)
        assert iter(iterator) is iterator
        assert len(iterator) == 6
        assert iterator._num_workers == 0
        iterator.mark = 1
        assert iterator.mark == 1
        assert "SingleProcess" in repr(iterator)
        for act in (pickle.dumps, copy.copy):
            with pytest.raises(NotImplementedError):
                act(iterator)
        assert [int(batch["x"].min()) for batch in itertools.islice(iterator, 2)] == [0, 4]
        cycled = itertools.cycle(DataLoader(Numbers(8), 4))
        assert [int(next(cycled)["x"].min()) for _ in range(4)] == [0, 4, 0, 4]
    assert not hasattr(DataLoader.__iter__, "__wrapped__")


def test_workers_end_when_their_pass_is_given_up() -> None:
    recorder = Recorder()
    with loaders_seen(recorder):
        iterator: Any = iter(DataLoader(Numbers(), 4, num_workers=2))
        next(iterator)
        workers = iterator._workers
        del iterator
        gc.collect()
        assert not any(worker.is_alive() for worker in workers)
    (one,) = recorder.passes
    assert (one.num_batches, one.is_left, one.has_ended) == (1, True, False)


@pytest.mark.parametrize("settings", [{"num_workers": 0}, {"num_workers": 2}])
def test_batches_are_the_same_when_they_are_watched(settings: dict[str, int]) -> None:
    def read() -> list[Any]:
        torch.manual_seed(0)
        noisy = Noisy()
        loader = DataLoader(noisy, 4, shuffle=True, **settings)
        return [batch.tolist() for _ in range(2) for batch in loader]

    bare = read()
    with loaders_seen(Recorder()):
        seen = read()
    assert seen == bare


class Noisy(Dataset[Any]):
    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Any:
        return index + torch.rand(2, generator=self.generator) + torch.rand(2)


def test_persistent_workers_are_used_again() -> None:
    recorder = Recorder()
    with loaders_seen(recorder):
        loader = DataLoader(Numbers(), 4, num_workers=2, persistent_workers=True)
        workers = []
        for _ in range(2):
            iterator: Any = iter(loader)
            workers.append([worker.pid for worker in iterator._workers])
            assert len(list(iterator)) == 6
    assert workers[0] == workers[1]
    assert [(row.number, row.has_ended) for row in recorder.passes] == [(0, True), (1, True)]


class Endless(DataLoader[Any]):
    def __iter__(self) -> Any:
        while True:
            yield from super().__iter__()


def test_a_loader_that_iterates_by_a_class_of_its_own_is_seen_once() -> None:
    recorder = Recorder()
    with loaders_seen(recorder):
        for _ in zip(range(8), Endless(Numbers(), 4), strict=False):
            pass
    assert [row.num_batches for row in recorder.passes] == [6, 2]
    assert recorder.loaders[0].class_name == "Endless"
    assert (recorder.passes[0].place.file, recorder.passes[0].is_by_user) == (__file__, True)


def test_a_loader_that_is_built_again_is_new_though_it_goes_on_in_the_same_row() -> None:
    recorder, begun = Recorder(), []
    recorder.after_fetch.append(lambda on, _: begun.append(on.is_new))
    with loaders_seen(recorder) as seen:
        for _ in range(2):
            loader = DataLoader(TensorDataset(torch.zeros(4)), 4)
            for _ in range(2):
                list(loader)
    assert begun == [True, False, True, False]
    assert len(seen.passes.loaders) == 1


def test_asking_after_the_end_and_where_things_are_made_are_noted() -> None:
    recorder = Recorder()
    with loaders_seen(recorder):
        loader = DataLoader(Numbers(8), 4, drop_last=True)
        iterator = iter(loader)
        assert len(list(iterator)) == 2
        assert list(iterator) == []
    (row,), (one,) = recorder.loaders, recorder.passes
    assert row.place.text.startswith("loader = DataLoader")
    assert (row.sampler_class, row.is_in_order, row.num_batches) == ("SequentialSampler", True, 2)
    assert (one.num_asked_after_end, one.asked_place.text) == (1, "assert list(iterator) == []")
    assert recorder.facts["asked_after_end"] == [one.asked_place]


def test_a_long_run_takes_constant_memory_and_tells_repeats() -> None:
    recorder = Recorder()
    data = TensorDataset(torch.arange(16.0))
    with loaders_seen(recorder) as seen:
        for _ in range(300):
            next(iter(DataLoader(data, 4)))
        for batch in itertools.islice(itertools.cycle(DataLoader(data, 4)), 4):
            assert len(batch) == 1
        loaders, passes, _ = seen.rows()
    assert len(loaders) == 2
    assert len(passes) == 64
    assert len(recorder.batches) < 60
    assert (loaders[0].num_passes, loaders[0].num_repeats) == (300, 299)


def test_what_cannot_be_looked_at_ends_the_watching_and_not_the_run() -> None:
    class Hostile(dict[str, Any]):
        def values(self) -> Any:
            raise RuntimeError("no")

    with loaders_seen(Recorder()) as seen:
        loader = DataLoader([1, 2], 1, collate_fn=lambda _: Hostile())
        assert len(list(loader)) == 2
    assert isinstance(seen.error, RuntimeError)


def test_no_descriptor_stays_open() -> None:
    def number() -> int:
        gc.collect()  # of processes that have ended, and their pipes
        return len(os.listdir("/proc/self/fd"))

    def used(times: int) -> int:
        """Return the descriptors that so many loaders, one after the other, leave open."""
        before = number()
        for _ in range(times):
            list(DataLoader(Numbers(8), 4, num_workers=2))
        for _ in range(100):  # a queue's thread may take a moment to end
            if number() - before < times:
                break
            time.sleep(0.1)
        return number() - before

    used(1)  # what multiprocessing keeps, it has now
    with loaders_seen(Recorder()):
        assert used(4) < 4  # one each, if they stayed
