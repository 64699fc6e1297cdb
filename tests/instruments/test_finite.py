"""The operation that made a NaN is named, forwards and backwards."""

from __future__ import annotations

import torch
from torch import nn

from traindoctor.experiments import Lab, LocateNonFinite
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import OperationRow


class Net(nn.Module):
    def __init__(self, act) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.layer, self.act = nn.Linear(3, 3), act
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.layer(x))


def located(act) -> list[OperationRow]:  # type: ignore[no-untyped-def]
    model = Net(act)
    loader = [(torch.ones(2, 3), torch.zeros(2, 3))]
    setup = TrainingSetup(model=model, loader=loader, loss_fn=nn.MSELoss())
    return list(Lab(setup).perform(LocateNonFinite()).operations)


def test_zero_over_zero_is_where_the_nan_begins() -> None:
    row = located(lambda x: (x / x) + 1)[0]
    assert (row.operation, row.kind, row.direction) == ("div", "nan", "forward")
    assert (row.input_minimum, row.input_maximum) == (0.0, 0.0)
    assert "x / x" in row.place.text


def test_a_nan_made_from_an_infinity_goes_back_to_what_made_the_infinity() -> None:
    def act(x: torch.Tensor) -> torch.Tensor:
        logs = torch.log(x)  # the infinity
        return logs - logs

    row = located(act)[0]
    assert (row.operation, row.kind) == ("log", "inf")
    assert "# the infinity" in row.place.text


def test_a_masked_score_is_no_origin() -> None:
    def act(x: torch.Tensor) -> torch.Tensor:
        scores = x.masked_fill(torch.eye(3, dtype=torch.bool)[:2], float("-inf"))
        return torch.softmax(scores, -1)

    assert located(act) == []


def test_a_root_at_zero_breaks_the_gradient_and_not_the_loss() -> None:
    def act(x: torch.Tensor) -> torch.Tensor:
        return (x.sqrt() + 1) * x  # infinite slope, times zero

    (row,) = located(act)
    assert (row.operation, row.direction) == ("Sqrt", "backward")
    assert "x.sqrt()" in row.place.text
    assert row.input_minimum == 0.0
