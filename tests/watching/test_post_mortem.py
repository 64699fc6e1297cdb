"""What makes a watched run's loss NaN is named, though it is outside the model's call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.watched import watched

FINITE_GRADIENT = """
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
model = nn.Linear(8, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

def distilled(logits, wanted):
    return F.kl_div(F.log_softmax(logits, 1), wanted, reduction="batchmean")  # here

for step in range(20):
    x, wanted = torch.randn(16, 8), torch.rand(16, 4)
    loss = distilled(model(x), wanted - 0.5 if step > 11 else wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
SECOND_TRAINING = """
import torch
from torch import nn
from torch.nn import functional as F

def fit(model, loss_of):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(12):
        loss = loss_of(model(torch.randn(16, 8)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

def distilled(logits):
    wanted = torch.randn(16, 4)
    return F.kl_div(F.log_softmax(logits, 1), wanted, reduction="batchmean")  # here

torch.manual_seed(0)
fit(nn.Linear(8, 4), lambda logits: logits.square().mean())
fit(nn.Linear(8, 4), distilled)
"""
UNSEEN = """
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
model = nn.Linear(8, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(13):
    wanted = torch.rand(16, 4) - (0.5 if step == 12 else 0.0)
    loss = F.kl_div(F.log_softmax(model(torch.randn(16, 8)), 1), wanted, reduction="batchmean")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def test_the_step_after_a_bad_loss_is_seen_by_operation(tmp_path: Path) -> None:
    finding = found(FINITE_GRADIENT, tmp_path)
    assert "# here" in line(finding, FINITE_GRADIENT)
    assert "`kl_div` makes NaN from values between -" in finding["message"]


def test_the_first_step_of_a_later_training_is_seen_by_operation(tmp_path: Path) -> None:
    assert "# here" in line(found(SECOND_TRAINING, tmp_path), SECOND_TRAINING)


def test_what_was_not_seen_is_not_denied(tmp_path: Path) -> None:
    finding = found(UNSEEN, tmp_path)
    assert "loss.backward()" in line(finding, UNSEEN)
    assert "outside that call" in finding["message"]


def found(script: str, folder: Path) -> dict[str, Any]:
    (folder / "train.py").write_text(script)
    report = json.loads(watched("train.py", folder, "--select", "TD102").read_text())
    (finding,) = report["findings"]
    return dict(finding)


def line(finding: dict[str, Any], script: str) -> str:
    return script.splitlines()[finding["location"]["line"] - 1]
