"""Generated targets, the odder the better: each is examined, told, and given back as it was."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from tests.hostile.examined import wrong_with
from tests.hostile.world.target import Recipe, recipes
from torch import nn

FEW, MANY = 4, 1000
MOST_SECONDS = 120  # of one target, on a busy machine
# Found once, and not to be found again.
FOUND = (
    Recipe(model="raises unspeakable"),
    Recipe(model="raises no dict"),
    Recipe(model="raises key later"),
    Recipe(model="raises exit"),
    Recipe(model="no list"),
    Recipe(model="odd lists"),
    Recipe(model="too deep"),
    Recipe(loader="length value"),
    Recipe(loader="looked at"),
    Recipe(loader="raises exit"),
    Recipe(batch="touchy"),
    Recipe(optimizer="groups raise"),
    Recipe(returned="epochs 2"),
    Recipe(returned="liar"),
    Recipe(returned="raising mapping"),
)
GENERATED: dict[str, Any] = {
    "derandomize": True,
    "deadline": None,
    "phases": (Phase.generate,),  # an example takes a second: to shrink it would take minutes
    "suppress_health_check": list(HealthCheck),
}


class TooSlow(BaseException):
    """A target was not done with in time."""


@contextmanager
def in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def examine(recipe: Recipe) -> None:
    with in_time():
        assert wrong_with(recipe) == [], recipe


@pytest.mark.parametrize("recipe", FOUND, ids=str)
def test_what_was_found_once_is_not_found_again(recipe: Recipe) -> None:
    examine(recipe)


@given(recipes())
@settings(max_examples=FEW, **GENERATED)
def test_a_few_generated_targets_are_examined(recipe: Recipe) -> None:
    examine(recipe)


@pytest.mark.slow
@given(recipes())
@settings(max_examples=MANY, **GENERATED)
def test_a_thousand_generated_targets_are_examined(recipe: Recipe) -> None:
    examine(recipe)


@pytest.mark.slow
def test_a_model_of_ten_thousand_tensors_is_examined() -> None:
    import traindoctor

    layers = [nn.Linear(2, 2) for _ in range(5000)]
    model = nn.Sequential(*layers, nn.Linear(2, 2))
    for layer in layers:
        nn.init.eye_(layer.weight)
    loader = [(torch.randn(4, 2), torch.arange(4) % 2) for _ in range(4)]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    report = traindoctor.check(
        (model, loader, optimizer, nn.CrossEntropyLoss()), select=["TD2", "TD4"], budget=1
    )
    assert report.target.model is not None
    assert report.target.model.parameters == 5001 * 6
    assert not [probe for probe in report.probes if probe.status == "errored"]
