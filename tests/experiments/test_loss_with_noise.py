"""Noise on parameters changes the loss exactly where their values matter to it."""

from __future__ import annotations

import torch
from torch import nn

from traindoctor.experiments import Lab, LossWithNoise, OneStep
from traindoctor.target.setup import TrainingSetup


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.unused = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(3, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.unused(x)
        return self.head(self.dropout(self.body(x).detach()))


def lab() -> Lab:
    torch.manual_seed(0)
    batch = (torch.randn(6, 3), torch.randint(0, 2, (6,)))
    return Lab(TrainingSetup(model=Cut(), loader=[batch], loss_fn=nn.CrossEntropyLoss()))


def loss(lab: Lab, *parameters: str) -> float:
    return lab.perform(LossWithNoise(parameters)).losses[0].value


def test_without_noise_it_is_the_loss_of_every_other_experiment() -> None:
    here = lab()
    assert loss(here) == loss(here) == here.perform(OneStep()).losses[0].value


def test_what_lies_behind_a_cut_matters_and_what_is_unused_does_not() -> None:
    here = lab()
    assert loss(here, "body.weight") != loss(here)
    assert loss(here, "unused.weight", "unused.bias") == loss(here)


def test_the_weights_are_given_back() -> None:
    here = lab()
    before = here.setup.model.body.weight.clone()  # type: ignore[operator, union-attr]
    loss(here, "body.weight")
    assert torch.equal(here.setup.model.body.weight, before)  # type: ignore[arg-type, union-attr]
