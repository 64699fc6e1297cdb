"""A second epoch is asked for where the kind of the data makes it a question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from traindoctor.experiments import Lab, SecondEpoch, ShortRun
from traindoctor.target.setup import as_setup


class Stream(IterableDataset[Any]):
    """Ten numbers; of a stream that is used up, once."""

    def __init__(self, once: bool) -> None:
        self.numbers: Any = iter(range(10)) if once else range(10)

    def __iter__(self) -> Iterator[Any]:
        return (torch.tensor([float(number)]) for number in self.numbers)


def finite() -> Iterator[torch.Tensor]:
    for _ in range(5):
        yield torch.ones(2, 1)


def endless() -> Iterator[torch.Tensor]:
    while True:
        yield torch.ones(2, 1)


def asked(loader: Any) -> dict[str, Any]:
    return Lab(as_setup((torch.nn.Linear(1, 1), loader))).perform(SecondEpoch(most_batches=8)).facts


@pytest.mark.parametrize(
    ("loader", "is_used_up"),
    [
        (finite, True),
        (lambda: map(torch.neg, finite()), True),
        (endless, None),
        (lambda: list(finite()), False),
        (lambda: DataLoader(Stream(once=True), batch_size=2), True),
        (lambda: DataLoader(Stream(once=False), batch_size=2), False),
        (lambda: DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2), False),
    ],
)
def test_what_is_used_up_after_one_epoch_is_known(loader: Any, is_used_up: bool | None) -> None:
    assert asked(loader())["is_used_up"] is is_used_up


def test_a_generator_without_end_looks_like_one() -> None:
    assert asked(endless())["looks_endless"]
    assert not asked(finite())["looks_endless"]


def test_a_loop_that_goes_on_with_an_iterator_that_is_over_is_seen() -> None:
    def train(model: Any, loader: Any, epochs: int) -> None:
        batches = iter(loader)
        for _ in range(epochs):
            for batch in batches:
                model(batch)

    def train_anew(model: Any, loader: Any, epochs: int) -> None:
        for _ in range(epochs):
            for batch in loader:
                model(batch)

    def places(loop: Any) -> list[Any]:
        parts = {"model": torch.nn.Linear(1, 1), "loader": list(finite()), "train_loop": loop}
        run = Lab(as_setup(parts)).perform(ShortRun())
        return [place.text for place in run.facts.get("asked_after_end", ())]

    assert places(train) == ["for batch in batches:"]
    assert places(train_anew) == []
