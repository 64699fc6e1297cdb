"""A script's later trainings are seen as closely as its first one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.watched import watched

from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.record import RUN

TWO = """
import torch
from torch import nn
from torch.optim import Adam

def fit(model, optimizer):
    for step in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

torch.manual_seed(0)
x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))
first, second = (nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)) for _ in range(2))
fit(first, Adam(first.parameters(), lr=1e-2))
fit(second, Adam(HELD.parameters(), lr=1e-2))
"""
UNFREEZING = """
import gc, weakref
import torch
from torch import nn
from torch.optim import Adam

def fit(optimizer):
    for step in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

torch.manual_seed(0)
x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))
net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
first = Adam(net.parameters(), lr=1e-2)
gone = weakref.ref(first)
fit(first)
del first
gc.collect()  # torch's own optimizers are in cycles
assert gone() is None, "it is kept alive"
net[0].requires_grad_(False)
second = Adam(net[2].parameters(), lr=1e-2)
fit(second)
net[0].requires_grad_(True)
fit(second)
"""
TOGETHER = """
import torch
from torch import nn
from torch.optim import Adam

torch.manual_seed(0)
x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))
body, head = nn.Linear(6, 8), nn.Linear(8, 3)
optimizers = [Adam(body.parameters(), lr=1e-2)]
for step in range(30):
    if step == 15:
        optimizers.append(Adam(head.parameters(), lr=1e-2))
    for optimizer in optimizers:
        optimizer.zero_grad()
    nn.functional.cross_entropy(head(body(x).tanh()), y).backward()
    for optimizer in optimizers:
        optimizer.step()
"""


THROUGH = """
import torch
from torch import nn
from torch.optim import Adam

torch.manual_seed(0)
x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))
net = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 3))
first = Adam(net.parameters(), lr=1e-2)
for step in range(20):
    first.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    first.step()
net.eval()
trained = [*TRAINED]
second = Adam(trained, lr=1e-2)
for step in range(20):
    second.zero_grad()
    nn.functional.cross_entropy(net(trained[0] + x), y).backward()
    second.step()
"""


def seen(folder: Path, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the report, and the facts of the run's trace."""
    (folder / "script.py").write_text(text)
    report = json.loads(watched("script.py", folder, "--trace", "kept.trace").read_text())
    return report, StoredTraces(folder / "kept.trace").facts(RUN)


@pytest.mark.slow
def test_a_second_healthy_training_is_healthy(tmp_path: Path) -> None:
    report, facts = seen(tmp_path, TWO.replace("HELD", "second"))
    assert (report["verdict"], report["findings"]) == ("healthy", [])
    assert facts["later_trainings"] == (20,)
    assert facts["troubles"] == ()


@pytest.mark.slow
def test_what_is_wrong_with_a_second_training_only_is_named_at_its_line(tmp_path: Path) -> None:
    report, _ = seen(tmp_path, TWO.replace("HELD", "first"))
    (finding,) = (f for f in report["findings"] if f["role"] == "root-cause")
    assert finding["code"] == "TD402"
    assert (
        finding["location"]["line"]
        == TWO.splitlines().index("fit(second, Adam(HELD.parameters(), lr=1e-2))") + 1
    )
    told = next(e for e in finding["evidence"] if e["label"] == "training of the script")
    assert told["value"] == "number 2, from step 20 on"


@pytest.mark.slow
def test_an_input_that_is_optimized_through_a_trained_network_is_all_that_is_trained(
    tmp_path: Path,
) -> None:
    latent = "[torch.zeros(64, 6, requires_grad=True)]"
    report, facts = seen(tmp_path, THROUGH.replace("TRAINED", latent))
    assert (report["verdict"], report["findings"]) == ("healthy", [])
    assert facts["later_trainings"] == (20,)


def test_what_ends_a_second_training_is_judged_by_what_was_seen_of_it(tmp_path: Path) -> None:
    text = TWO.replace("HELD", "second").replace(
        "fit(second,",
        "forward = second.forward\nsecond.forward = lambda x: forward(x).detach()\nfit(second,",
    )
    report, _ = seen(tmp_path, text)
    (finding,) = (f for f in report["findings"] if f["role"] == "root-cause")
    assert (finding["code"], finding["title"].rpartition(": ")[2]) == (
        "TD101",
        "`detach` ends its graph",
    )
    assert "detach" in text.splitlines()[finding["location"]["line"] - 1]


@pytest.mark.slow
def test_what_is_unfrozen_later_is_told_once_its_first_optimizer_is_gone(tmp_path: Path) -> None:
    report, _ = seen(tmp_path, UNFREEZING)
    (finding,) = (f for f in report["findings"] if f["role"] == "root-cause")
    assert finding["code"] == "TD401"
    line = UNFREEZING.splitlines().index("second = Adam(net[2].parameters(), lr=1e-2)") + 1
    assert finding["location"]["line"] == line


@pytest.mark.slow
def test_an_optimizer_that_joins_another_begins_no_training(tmp_path: Path) -> None:
    report, facts = seen(tmp_path, TOGETHER)
    assert facts["later_trainings"] == ()
    assert facts["troubles"] == ()
    assert "TD402" not in {finding["code"] for finding in report["findings"]}


@pytest.mark.slow
def test_folds_without_end_are_seen_for_a_while(tmp_path: Path) -> None:
    again = "for _ in range(12):\n    fit(second, Adam(second.parameters(), lr=1e-3))\n"
    _, facts = seen(tmp_path, TWO.replace("HELD", "second") + again)
    assert facts["later_trainings"] == (20, 40, 60)
