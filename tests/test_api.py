"""`check` examines a setup in this process and gives it back bit for bit."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import traindoctor
from traindoctor.errors import TargetError, UsageError


class Recurrent(nn.Module):
    """Keeps state between calls, draws random numbers and has buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.norm = nn.BatchNorm1d(8)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 11)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.hidden: torch.Tensor | None = None
        self.calls = 0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        x = self.norm(self.embed(tokens).transpose(1, 2)).transpose(1, 2)
        x, hidden = self.rnn(self.frozen(x))
        self.hidden = hidden.detach()
        return self.head(self.drop(x)).transpose(1, 2)


def a_setup() -> dict[str, Any]:
    torch.manual_seed(3)
    model = Recurrent()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=20)
    tokens = torch.randint(0, 11, (96, 6))
    data = torch.utils.data.TensorDataset(tokens, tokens.roll(1, 1))
    generator = torch.Generator().manual_seed(1)
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True, generator=generator)
    loss_fn = nn.CrossEntropyLoss()
    # In the middle of training: state in the optimizer, a gradient left over, one hook.
    for x, y in list(loader)[:2]:
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()
    model.head.register_forward_hook(lambda *_: None)
    model.drop.eval()
    return {
        "model": model,
        "loader": loader,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "loss_fn": loss_fn,
        "max_grad_norm": 1.0,
    }


def state_of(setup: dict[str, Any]) -> dict[str, Any]:
    """Everything that `check` promises to give back."""
    model, optimizer = setup["model"], setup["optimizer"]
    return copy.deepcopy(
        {
            "state": model.state_dict(),
            "gradients": {name: p.grad for name, p in model.named_parameters()},
            "requires": {name: p.requires_grad for name, p in model.named_parameters()},
            "modes": {name: m.training for name, m in model.named_modules()},
            "attributes": (model.hidden, model.calls),
            "optimizer": optimizer.state_dict(),
            "scheduler": setup["scheduler"].state_dict(),
            "generator": setup["loader"].generator.get_state(),
            "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()),
            "num_hooks": [
                len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
            ],
            "modules": [name for name, _ in model.named_modules()],
        }
    )


def assert_same(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}[{number}]")
    else:
        assert one == other, where


def test_a_setup_in_the_middle_of_training_comes_back_bit_for_bit() -> None:
    setup = a_setup()
    parameters = list(setup["model"].parameters())
    before = state_of(setup)
    report = traindoctor.check(setup)
    assert_same(before, state_of(setup))
    assert all(p is q for p, q in zip(parameters, setup["model"].parameters(), strict=True))
    assert sum(experiment.steps for experiment in report.experiments) > 5


def test_training_goes_on_as_if_nobody_had_looked() -> None:
    def two_more_losses(setup: dict[str, Any]) -> list[float]:
        losses = []
        for x, y in list(setup["loader"])[:2]:
            setup["optimizer"].zero_grad()
            loss = setup["loss_fn"](setup["model"](x), y)
            loss.backward()
            setup["optimizer"].step()
            losses.append(loss.item())
        return losses

    unseen, seen = a_setup(), a_setup()
    torch.manual_seed(9)
    expected = two_more_losses(unseen)
    torch.manual_seed(9)
    traindoctor.check(seen)
    assert two_more_losses(seen) == expected


def test_a_healthy_setup_is_called_healthy() -> None:
    report = traindoctor.check(a_setup())
    assert [(f.code, f.title) for f in report.findings] == []
    assert report.verdict == "healthy"


def test_selected_rules_alone_are_examined() -> None:
    report = traindoctor.check(a_setup(), select=["TD401"])
    assert {code for probe in report.probes for code in probe.rules} >= {"TD401"}
    assert len(report.probes) == 1


def test_what_is_no_target_is_said_in_one_sentence() -> None:
    with pytest.raises(TargetError, match="str"):
        traindoctor.check("train.py:setup")


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean"):
        traindoctor.check(a_setup(), select=["TD4O1"])


def test_importing_traindoctor_costs_nothing() -> None:
    program = (
        "import sys, traindoctor; print(sorted({'torch', 'numpy', 'rich'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
