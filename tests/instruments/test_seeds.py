"""What seeds a generator while a model trains."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from traindoctor.instruments.dynamics import dynamics_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import SeedRow

STEPS = 5


def seeds(step: Callable[[int], Any]) -> list[SeedRow]:
    """Train for a few steps, in each of which something is seeded or drawn."""
    recorder, model = Recorder(), nn.Linear(2, 1)
    with dynamics_seen(recorder):
        for number in range(STEPS):
            step(number)
            model(torch.ones(3, 2)).sum().backward()
    return recorder.seeds


def draws(seed: Callable[[], Any], draw: Callable[[], Any]) -> Callable[[int], None]:
    def step(_: int) -> None:
        seed()
        draw()

    return step


@pytest.mark.parametrize(
    ("name", "seed", "draw"),
    [
        ("torch", lambda: torch.manual_seed(7), lambda: torch.rand(3)),
        ("numpy", lambda: np.random.seed(7), lambda: np.random.rand(3)),
        ("random", lambda: random.seed(7), random.random),
    ],
)
def test_each_pass_but_the_first_repeats_the_numbers(name: str, seed: Any, draw: Any) -> None:
    (row,) = seeds(draws(seed, draw))
    assert (row.generator, row.value, row.count, row.num_other) == (name, "7", STEPS, 0)
    assert row.num_same == STEPS - 1
    assert "seed(7)" in row.place.text


def test_nothing_drawn_is_nothing_repeated() -> None:
    (row,) = seeds(lambda _: torch.manual_seed(7))
    assert (row.count, row.num_same) == (STEPS, 0)


def test_another_number_of_draws_is_another_stream() -> None:
    rows = seeds(lambda number: (torch.manual_seed(7), torch.rand(number + 1)))
    assert [row.num_same for row in rows] == [0]


def test_other_values_are_counted() -> None:
    rows = seeds(lambda number: (torch.manual_seed(number), torch.rand(3)))
    assert [(row.num_other, row.num_same) for row in rows] == [(STEPS - 1, 0)]


def test_a_state_that_is_given_back_was_never_reset() -> None:
    def step(_: int) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            torch.rand(3)

    assert [row.num_same for row in seeds(step)] == [0]


def test_the_functions_come_back() -> None:
    before = torch.manual_seed, np.random.seed, random.seed
    seeds(lambda _: None)
    assert (torch.manual_seed, np.random.seed, random.seed) == before
