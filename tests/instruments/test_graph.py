"""What two backward passes share is found, with the line that made it and who keeps it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from traindoctor.experiments import Lab, WatchGraph
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import GraphRow

BATCHES = [(torch.randn(8, 4), torch.zeros(8, 4)) for _ in range(4)]


class Cell(nn.Module):
    """A recurrent cell that keeps its state, in a dict or as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = nn.Linear(4, 4), {}
        self.state: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state = self.inner(x if self.state is None else x + self.state).tanh()  # kept
        return self.state


class Cache(Cell):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if "first" not in self.seen:
            self.seen["first"] = 0, [self.inner(x).tanh()]  # cached
        return self.inner(x) + self.seen["first"][1][0]


def shared(model: nn.Module, **more: Any) -> list[GraphRow]:
    setup = TrainingSetup(model=model, loader=BATCHES, loss_fn=nn.MSELoss(), **more)
    return [row for row in Lab(setup).perform(WatchGraph()).graphs if row.num_stale]


def test_a_state_that_is_kept_is_named_with_its_line() -> None:
    row = shared(Cell())[0]
    assert (row.backward, row.holder, row.attribute) == (1, "Cell", "state")
    assert (row.operation, row.place.text[-6:]) == ("Tanh", "# kept")
    assert (row.num_behind, row.module) == (row.num_stale, "inner")


def test_a_value_in_nested_containers_is_found() -> None:
    (row,) = shared(Cache())[:1]
    assert (row.attribute, row.place.text[-8:]) == ("seen", "# cached")
    assert "self.inner(x).tanh()" in row.module_place.text


def test_a_value_that_a_closure_made_before_training_is_named_by_its_variable() -> None:
    model = nn.Linear(4, 4)
    memory = model(torch.ones(1, 4)).sigmoid()

    def train_step(model: nn.Module, batch: Any) -> torch.Tensor:
        return (model(batch[0]) * memory).pow(2).mean()

    row = shared(model, train_step=train_step)[0]
    assert (row.is_from_before, row.holder, row.attribute) == (True, "train_step", "memory")


def test_passes_with_graphs_of_their_own_share_nothing() -> None:
    assert shared(nn.Linear(4, 4)) == []
