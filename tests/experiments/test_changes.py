"""Each thing that keeps a batch from being learned can be taken away, and comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from traindoctor.experiments import Lab, OverfitBatch
from traindoctor.target.setup import TrainingSetup


class Net(nn.Module):
    def __init__(self, drop: float = 0.0) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(4, 64), nn.Linear(64, 3)
        self.drop = drop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(F.relu(self.stem(x)), self.drop, self.training))


def step_under_autocast(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Any:
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(batch[0])
    seen = outputs.dtype
    loss = F.cross_entropy(outputs.float() * (seen == torch.float32), batch[1])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    return loss


def step_with_dropout(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Any:
    optimizer.zero_grad()
    outputs = model(batch[0])
    loss = F.cross_entropy(100 * (F.dropout(outputs, 0.999) == outputs) * outputs, batch[1])
    loss.backward()
    optimizer.step()
    return loss


def made(change: str) -> TrainingSetup:
    """Return a setup that learns its batch only without one thing."""
    torch.manual_seed(0)
    model: nn.Module = Net()
    batch = torch.randn(16, 4), torch.randint(3, (16,))
    settings: dict[str, Any] = {"loss_fn": F.cross_entropy}
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(model.parameters(), 3e-2)
    if change == "clipping":
        optimizer = torch.optim.SGD(model.parameters(), 1.0, momentum=0.9)
        settings["max_grad_norm"] = 1e-6
    elif change == "weight decay":
        optimizer = torch.optim.AdamW(model.parameters(), 3e-2, weight_decay=30.0)
    elif change == "dropout":
        settings = {"train_step": step_with_dropout}
    elif change == "autocast":
        settings = {"train_step": step_under_autocast}
    elif change == "the scaler":
        settings["scaler"] = torch.amp.GradScaler("cpu", init_scale=3e38, backoff_factor=0.999)
        settings["loss_fn"] = lambda outputs, targets: F.cross_entropy(100 * outputs, targets)
    elif change == "freezing":
        model.requires_grad_(False)
        model.head.bias.requires_grad_(True)
        optimizer = torch.optim.AdamW([model.head.bias], 3e-2)
    elif change == "leaving parameters out":
        optimizer = torch.optim.AdamW([model.head.bias], 3e-2)
    return TrainingSetup(model=model, loader=[batch] * 4, optimizer=optimizer, **settings)


@pytest.mark.parametrize(
    "change",
    [
        "clipping",
        "weight decay",
        "dropout",
        "autocast",
        "the scaler",
        "freezing",
        "leaving parameters out",
    ],
)
def test_what_is_taken_away_heals_and_comes_back(change: str) -> None:
    setup = made(change)
    state = {name: value.clone() for name, value in setup.model.state_dict().items()}
    trained = [p.requires_grad for p in setup.model.parameters()]
    held = [len(group["params"]) for o in setup.optimizers for group in o.param_groups]
    functions = F.dropout, torch.autocast.__enter__, torch.nn.utils.clip_grad_norm_
    lab = Lab(setup)

    with_it, without = (lab.perform(OverfitBatch(without=one)) for one in ("", change))

    assert with_it.facts["overfit"]["learned"] is not True, with_it.facts
    assert without.facts["overfit"]["learned"] is True, without.facts
    for name, value in setup.model.state_dict().items():
        assert torch.equal(value, state[name])
    assert [p.requires_grad for p in setup.model.parameters()] == trained
    assert [len(group["params"]) for o in setup.optimizers for group in o.param_groups] == held
    assert functions == (F.dropout, torch.autocast.__enter__, torch.nn.utils.clip_grad_norm_)


def test_low_precision_is_left_for_float32_in_weights_and_batch() -> None:
    seen: list[Callable[[], Any] | Any] = []
    model = nn.Linear(4, 3).bfloat16()

    def loss_fn(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(outputs.dtype)
        return F.cross_entropy(outputs, targets)

    batch = torch.randn(8, 4).bfloat16(), torch.randint(3, (8,))
    setup = TrainingSetup(model=model, loader=[batch], loss_fn=loss_fn)
    Lab(setup).perform(OverfitBatch(without="low precision", steps=2))
    assert set(seen) == {torch.float32}
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
