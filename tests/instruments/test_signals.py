"""What layers hand on, against the slow and obvious way to get it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.experiments import Lab, WatchSignals
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import SignalRow


def signals(model: nn.Module, inputs: torch.Tensor) -> tuple[SignalRow, ...]:
    loader = DataLoader(TensorDataset(inputs, torch.zeros(len(inputs))), batch_size=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)

    def loss_fn(outputs: Any, _: Any) -> torch.Tensor:
        loss: torch.Tensor = outputs.square().mean()
        return loss

    setup = TrainingSetup(model=model, loader=loader, optimizer=optimizer, loss_fn=loss_fn)
    return Lab(setup).perform(WatchSignals()).signals


def activations(model: nn.Module, loss_fn: Any, width: int = 4) -> list[SignalRow]:
    """Return what is seen of the activations of a model with 12 outputs."""
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(32, width), torch.rand(32, 12).round())
    setup = TrainingSetup(model=model, loader=DataLoader(data, batch_size=16), loss_fn=loss_fn)
    return [row for row in Lab(setup).perform(WatchSignals()).signals if row.num_values]


class Activated(nn.Module):
    def __init__(self, layer: nn.Module, activation: Any) -> None:
        super().__init__()
        self.layer, self.activation = layer, activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.activation(self.layer(x))
        return found


def test_the_size_of_a_layer_is_that_of_the_first_batch() -> None:
    torch.manual_seed(0)
    model, inputs = nn.Linear(4, 8), torch.randn(64, 4)
    (row,) = signals(model, inputs)
    output = model(inputs[:16]).detach()
    assert row.rms == pytest.approx(float((output**2).mean() ** 0.5))
    spread = torch.stack([output[:, unit].std(correction=0) ** 2 for unit in range(8)]).mean()
    assert row.spread == pytest.approx(float(spread**0.5))


@pytest.mark.parametrize("activation", [F.relu, nn.ReLU(inplace=True), torch.sigmoid, torch.tanh])
def test_dead_are_the_units_that_are_flat_for_every_sample(activation: Any) -> None:
    torch.manual_seed(0)
    model, inputs = Activated(nn.Linear(4, 32), activation), torch.randn(64, 4)
    nn.init.constant_(model.layer.bias[:20], -30.0)
    x = model.layer(inputs).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(activation(x.clone()).sum(), x)
    steepest = 0.25 if activation is torch.sigmoid else 1.0
    (row,) = [row for row in signals(model, inputs) if row.num_values]
    assert row.num_dead == int((slopes.amax(0) < 0.01 * steepest).sum()) >= 20
    assert (row.num_units, row.num_values) == (32, 64)


def test_units_of_a_convolution_in_time_are_its_channels() -> None:
    torch.manual_seed(0)
    model = Activated(nn.Conv1d(3, 12, 1), F.relu)
    nn.init.constant_(model.layer.bias[:9], -30.0)
    (row,) = [row for row in signals(model, torch.randn(64, 3, 5)) if row.num_values]
    assert (row.num_units, row.num_dead) == (12, 9)


def test_units_of_a_layer_over_time_are_its_last_axis() -> None:
    torch.manual_seed(0)
    model = Activated(nn.Linear(3, 12), F.relu)
    nn.init.constant_(model.layer.bias[:9], -30.0)
    (row,) = [row for row in signals(model, torch.randn(64, 5, 3)) if row.num_values]
    assert (row.num_units, row.num_dead) == (12, 9)


def test_what_is_computed_without_gradients_is_not_looked_at() -> None:
    model = Activated(nn.Linear(4, 8), lambda x: x + F.relu(x.detach()))
    assert [row.operation for row in signals(model, torch.randn(64, 4))] == ["linear"]


def test_a_value_that_is_no_number_kills_no_unit() -> None:
    model = Activated(nn.Linear(4, 8), F.relu)
    (row,) = [row for row in signals(model, torch.full((64, 4), torch.nan)) if row.num_values]
    assert row.num_dead == 0


def written_out(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return a cross entropy that is written out, `()`."""
    likely = targets * outputs + (1 - targets) * (1 - outputs)
    return -(likely + 1e-6).log().mean()


@pytest.mark.parametrize(
    ("activation", "loss_fn", "is_probability"),
    [
        (torch.sigmoid, F.binary_cross_entropy, True),
        (nn.Sigmoid(), written_out, True),
        (torch.sigmoid, lambda out, y: F.binary_cross_entropy(out.clamp(1e-6, 1 - 1e-6), y), True),
        (torch.sigmoid, F.mse_loss, False),
        (torch.tanh, F.mse_loss, False),
    ],
)
def test_a_sigmoid_whose_logarithm_is_taken_gives_probabilities(
    activation: Any, loss_fn: Any, is_probability: bool
) -> None:
    (row,) = activations(Activated(nn.Linear(4, 12), activation), loss_fn)
    assert (row.is_probability, row.has_gradient) == (is_probability, True)


class Gated(Activated):
    """A sigmoid between two layers, and one beside the loss."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.layer(super().forward(x))
        logits.sigmoid()
        probabilities: torch.Tensor = logits.mul(2).sigmoid()
        return probabilities


def test_a_gate_is_no_probability_and_what_is_beside_the_loss_gets_no_gradient() -> None:
    gate, beside, last = activations(
        Gated(nn.Linear(12, 12), torch.sigmoid), F.binary_cross_entropy, width=12
    )
    assert [gate.is_probability, beside.is_probability, last.is_probability] == [False, False, True]
    assert [gate.has_gradient, beside.has_gradient, last.has_gradient] == [True, False, True]
