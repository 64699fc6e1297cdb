"""What a whole run's losses say: stages of a curriculum are no divergence, a thrown run is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.watched import watched

STAGED = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
inputs = torch.randn(1024, 4)
targets = 0.1 * inputs.sum(1, keepdim=True).sin()
dataset = TensorDataset(inputs, targets.clone())
kept = DataLoader(dataset, batch_size=32, shuffle=True)
for stage in range(4):
    targets *= 5
    LOADER
    for epoch in range(2):
        for x, y in loader:
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""
NEW = "loader = DataLoader(TensorDataset(inputs, targets.clone()), batch_size=32, shuffle=True)"
CHANGED = "loader = kept; dataset.tensors[1].mul_(5)"
PLAIN = """
import torch
from torch import nn

torch.manual_seed(0)
hidden = [layer for size in (4, 32, 32) for layer in (nn.Linear(size, 32), nn.ReLU())]
net = nn.Sequential(*hidden, nn.Linear(32, 2))
optimizer = torch.optim.AdamW(net.parameters(), lr=RATE)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
for step in range(300):
    x = torch.randn(64, 4)
    mean, log_std = net(x).unbind(1)
    error = (x.sum(1) - mean).square()
    loss = LOSS
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
"""
DENSITY = "(log_std + error * (-2 * log_std).exp() / 2).mean()"


def found(script: str, tmp_path: Path) -> dict[str, int]:
    (tmp_path / "train.py").write_text(script)
    report = json.loads(watched("train.py", tmp_path, "--select", "TD105,TD106").read_text())
    assert {row["status"] for row in report["probes"]} <= {"passed", "failed"}
    return {row["code"]: row["location"]["line"] for row in report["findings"]}


@pytest.mark.slow
@pytest.mark.parametrize("loader", [NEW, CHANGED], ids=["new loaders", "a changed data set"])
def test_a_loss_that_rises_where_a_stage_begins_is_healthy(loader: str, tmp_path: Path) -> None:
    assert found(STAGED.replace("LOADER", loader), tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "loss", "expected"),
    [
        ("1e-3", DENSITY, {}),
        ("3.0", "error.mean()", {"TD105": 8}),
        ("1e-2", f"-{DENSITY}", {"TD106": 16}),
    ],
    ids=["healthy", "a rate far too high", "a sign turned"],
)
def test_a_run_is_told_by_how_far_its_loss_went(
    rate: str, loss: str, expected: dict[str, int], tmp_path: Path
) -> None:
    assert found(PLAIN.replace("RATE", rate).replace("LOSS", loss), tmp_path) == expected
