"""A loop of the user's whose objective draws noise is not accused of missing a floor of zero."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from traindoctor.experiments import Lab, OverfitBatch
from traindoctor.target.setup import TrainingSetup


def denoising(model: nn.Module, loader: Any, optimizer: torch.optim.Optimizer) -> None:
    for (x,) in loader:
        noise = torch.randn_like(x)
        loss = F.mse_loss(model(x + noise), 3 * noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def constant(model: nn.Module, loader: Any, optimizer: torch.optim.Optimizer) -> None:
    for (x,) in loader:
        loss = F.mse_loss(model(x).tanh(), torch.full_like(x, 3.0))  # out of reach
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("train_loop", "is_random"), [(denoising, True), (constant, False)], ids=["noise", "bounded"]
)
def test_noise_is_told_from_a_floor_that_cannot_be_reached(
    train_loop: Any, *, is_random: bool
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.2), nn.Linear(16, 4))
    setup = TrainingSetup(
        model=model,
        loader=[(torch.randn(4096, 4),)] * 4,
        optimizer=torch.optim.Adam(model.parameters(), lr=5e-2),
        train_loop=train_loop,
    )
    trace = Lab(setup).perform(OverfitBatch())
    facts = trace.facts["overfit"]
    assert facts["stochastic"] is is_random
    assert (facts["learned"] is False) is not is_random
    assert (facts["floor"] is None) is is_random
    assert facts["steps"] == len(trace.losses)
    assert model[1].p == 0.2
    assert setup.optimizers[0].param_groups[0]["lr"] == 5e-2
