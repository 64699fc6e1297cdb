"""The operation at which a gradient becomes zero is found, whatever stands around it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from traindoctor.instruments.zeros import OTHER_FACTOR_IS_TRAINED, USERS, watch_for_zeros
from traindoctor.target.history import lines_kept
from traindoctor.trace import OperationRow

NEVER = -1e6


class Shut(torch.autograd.Function):
    """Passes values on, and no gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return 0 * gradients[0]


def located(kind: str) -> list[OperationRow]:
    """Run one backward pass through a first layer, one operation and a second layer."""
    torch.manual_seed(0)
    first, second = nn.Linear(3, 4), nn.Linear(4, 1)
    gain = nn.Parameter(torch.zeros(()))
    with lines_kept():
        x = first(torch.randn(5, 3))
        x = {
            "Mul": lambda: 0 * x,
            "gain": lambda: gain * x,
            "Relu": lambda: torch.relu(x + NEVER),
            "Sigmoid": lambda: torch.sigmoid(x + NEVER),
            "Round": lambda: torch.round(x),
            "Shut": lambda: Shut.apply(x),
            "Tanh": lambda: torch.tanh(x),
        }[kind]()
        loss = second(x + 0.1).square().sum()
        rows: list[OperationRow] = []
        targets = {id(first.weight): "first.weight", id(first.bias): "first.bias"}
        watch_for_zeros(loss, targets, rows, batch=0)
        loss.backward()
    return rows


@pytest.mark.parametrize("kind", ["Mul", "Relu", "Sigmoid", "Round"])
def test_an_operation_that_lets_nothing_through_is_named_with_what_lies_behind_it(
    kind: str,
) -> None:
    (row,) = located(kind)
    assert (row.operation, row.kind, row.direction) == (kind, "zero", "backward")
    assert row.parameters == ("first.weight", "first.bias")
    assert row.place.file == __file__
    assert row.input_shapes[0] == (5, 4)


def test_a_constant_factor_is_given_with_its_value_and_shape() -> None:
    (row,) = located("Mul")
    assert (row.input_minimum, row.input_maximum, row.input_shapes[-1]) == (0, 0, ())


def test_a_factor_that_is_trained_itself_is_said_to_be() -> None:
    assert [row.note for row in located("gain")] == [OTHER_FACTOR_IS_TRAINED]


def test_an_operation_that_lets_some_of_it_through_is_not_named() -> None:
    assert located("Tanh") == []


def test_a_backward_of_the_users_own_is_said_to_be_one() -> None:
    (row,) = located("Shut")
    assert (row.operation, row.note, row.place.file) == ("Shut", USERS, __file__)
