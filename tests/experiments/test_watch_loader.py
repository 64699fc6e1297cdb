"""A loader is watched with its own workers, timed, read here and there, and given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from traindoctor.experiments import (
    Lab,
    LoaderSpeed,
    OtherBatches,
    ShortRun,
    SpreadSamples,
    WatchLoader,
)
from traindoctor.target.setup import as_setup
from traindoctor.trace import Trace

FEATURES = torch.arange(120.0).reshape(40, 3)
LABELS = torch.arange(4).repeat_interleave(10)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


def lab(loader: Any, **parts: Any) -> Lab:
    torch.manual_seed(0)
    return Lab(as_setup({"model": nn.Linear(3, 4), "loader": loader, **parts}))


def pairs(**settings: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(FEATURES / 120, LABELS), batch_size=4, **settings)


def test_passes_workers_and_batches_are_watched() -> None:
    loader = pairs(num_workers=2)
    seen = lab(loader).perform(WatchLoader(num_batches=6))
    assert [(row.num_batches, row.has_ended) for row in seen.passes] == [(6, False), (6, False)]
    assert len(seen.batches) == 12
    assert seen.passes[0].digests == seen.passes[1].digests
    assert [row.worker for row in seen.workers] == [0, 1, 0, 1]
    assert loader.worker_init_fn is None


def test_an_iterator_that_can_be_read_once_is_left_to_others() -> None:
    setup = lab(iter(list(pairs())))
    seen = setup.perform(WatchLoader(num_batches=4))
    assert [row.num_batches for row in seen.passes] == [4]
    assert len(setup.batches(10)) == 10


def test_a_loader_is_a_row_of_a_short_run_too() -> None:
    run = lab(pairs(), loss_fn=nn.CrossEntropyLoss()).perform(ShortRun())
    (row,) = run.loaders
    assert (row.num_samples, row.num_batches, row.batch_size) == (40, 10, 4)
    assert (row.is_in_order, row.is_iterable, row.num_workers) == (True, False, 0)
    assert [one.num_batches for one in run.passes] == [6]


def test_what_the_users_loop_does_with_its_loader_is_seen() -> None:
    def train(model: Any, loader: Any) -> None:
        for _ in range(3):
            inputs, labels = next(iter(loader))
            nn.functional.cross_entropy(model(inputs), labels).backward()
        for inputs, labels in loader:
            nn.functional.cross_entropy(model(inputs), labels).backward()

    run = lab(pairs(), train_loop=train).perform(ShortRun(num_batches=6))
    assert [row.num_batches for row in run.passes] == [1, 1, 1, 6]
    assert [row.is_left for row in run.passes] == [True, True, True, False]
    assert run.passes[3].is_cut
    assert {row.num_trained for row in run.passes[:3]} == {1}
    assert run.passes[0].place.text == "inputs, labels = next(iter(loader))"
    assert all(row.is_by_user for row in run.passes)
    assert len({row.digests[0] for row in run.passes}) == 1


def test_samples_from_all_over_the_data_are_read_in_order() -> None:
    read = lab(pairs()).perform(SpreadSamples(num_samples=8))
    labels = [row.leaves[1].values[0] for row in read.batches]
    assert labels == [0, 0, 1, 1, 2, 2, 3, 3]


class Slow(Dataset[Any]):
    def __init__(self, keeps: bool = False) -> None:
        self.keeps, self.kept = keeps, set[int]()

    def __len__(self) -> int:
        return 80

    def __getitem__(self, index: int) -> Any:
        if index not in self.kept:
            time.sleep(1e-2)
        if self.keeps:
            self.kept.add(index)
        return torch.ones(3), 0


@pytest.mark.parametrize("keeps", [False, True])
def test_a_loader_is_timed_as_it_is_with_workers_and_again(
    keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    facts = lab(DataLoader(Slow(keeps), 4)).perform(LoaderSpeed(num_batches=6)).facts
    assert facts["batch_seconds"] > 4e-2
    assert facts["other_workers"] == 2
    assert facts["other_seconds"] < 0.9 * facts["batch_seconds"]
    assert (facts["again_seconds"] < 2e-2) == keeps


def losses(trace: Trace, label: str) -> list[float]:
    return [row.value for row in trace.evaluations if row.label == label]


def test_a_loop_that_uses_its_batches_does_otherwise_with_others() -> None:
    def train(model: Any, loader: Any, optimizer: Any) -> None:
        first = None
        for batch in loader:
            first = first or batch
            inputs, labels = first if optimizer.param_groups[0]["lr"] == 1 else batch
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    for rate, is_same in ((1.0, True), (0.5, False)):
        model = nn.Linear(3, 4)
        optimizer = torch.optim.SGD(model.parameters(), rate)
        parts = {"model": model, "loader": pairs(), "optimizer": optimizer, "train_loop": train}
        tried = Lab(as_setup(parts)).perform(OtherBatches())
        these, others = losses(tried, "these"), losses(tried, "others")
        assert len(these) == len(others) == 4
        assert (these == others) == is_same
