"""What is unfrozen on the way is noticed where no optimizer holds it, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from traindoctor.instruments.dynamics import dynamics_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.unheld import FACT


def trained(
    change: Callable[[nn.Module, torch.optim.Optimizer], Any], num_steps: int = 80
) -> dict[str, tuple[int, int]]:
    """Return what is noticed where only the head is trained at first; `change` comes at step 20."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    optimizer: Any = torch.optim.SGD(model[2].parameters(), 0.1)
    recorder = Recorder()
    with dynamics_seen(recorder):
        for step in range(num_steps):
            if step == 20:
                optimizer = change(model, optimizer) or optimizer
            optimizer.zero_grad()
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
    assert "switched_off" not in recorder.facts
    found: dict[str, tuple[int, int]] = recorder.facts.get(FACT, {})
    return found


def test_what_is_unfrozen_and_not_handed_to_the_optimizer_is_noticed() -> None:
    found = trained(lambda model, _: model[0].requires_grad_(True) and None)
    assert set(found) == {"0.weight", "0.bias"}
    first, last = found["0.weight"]
    assert 20 < first <= 40 < last


def handed(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model[0].requires_grad_(True)
    optimizer.add_param_group({"params": list(model[0].parameters())})


def another(model: nn.Module, _: torch.optim.Optimizer) -> torch.optim.Optimizer:
    model[0].requires_grad_(True)
    return torch.optim.SGD(model.parameters(), 0.1)


@pytest.mark.parametrize("change", [handed, another, lambda *_: None])
def test_what_an_optimizer_holds_is_not(change: Any) -> None:
    assert trained(change) == {}


def test_what_moves_by_hand_is_not() -> None:
    def moved(model: nn.Module, _: torch.optim.Optimizer) -> None:
        first = model[0]
        first.requires_grad_(True)

        def move(*_: Any) -> None:
            first.weight.data.mul_(0.99)
            first.bias.data.add_(0.01)

        first.register_forward_pre_hook(move)

    assert trained(moved) == {}


def test_what_was_so_from_the_start_is_left_to_others() -> None:
    torch.manual_seed(0)
    model, recorder = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), Recorder()
    optimizer = torch.optim.SGD(model[1].parameters(), 0.1)
    with dynamics_seen(recorder):
        for _ in range(60):
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
    assert recorder.facts.get(FACT, {}) == {}
