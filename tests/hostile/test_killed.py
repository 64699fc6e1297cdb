"""Killed with -9 at any moment: nothing stays behind, and what was recorded can be told."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.hostile.commands import is_calm, left_behind, ran, started, valid

FEW, MANY = 1, 100
PATIENCE = 60.0  # a worker that imports torch notices nothing until that is done
TRAINS = """
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
loader = torch.utils.data.DataLoader(
    [(torch.randn(4), i % 2) for i in range(256)], batch_size=8, num_workers={workers}
)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range({epochs}):
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
"""
SETUP = """
import torch
from torch import nn
def setup():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    data = [(torch.randn(4), i % 2) for i in range(64)]
    loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=1)
    return net, loader, torch.optim.Adam(net.parameters(), lr=1e-2), nn.CrossEntropyLoss()
"""


def killed_at(words: list[str], folder: Path, seconds: float, *, group: bool) -> None:
    """Start the command line, and kill it, or all that it has started, after a time."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = started(words, folder, **quiet)
    time.sleep(seconds)
    with suppress(ProcessLookupError):  # it was faster
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


def moments(number: int, most: float) -> list[float]:
    """Return random moments, the same in every run."""
    generator = random.Random(0)
    return [generator.uniform(0.0, most) for _ in range(number)]


def check_watch(folder: Path, number: int, seconds: float) -> None:
    folder.mkdir()
    (folder / "train.py").write_text(TRAINS.format(workers=number % 2, epochs=100_000))
    words = ["watch", "--trace", "run.trace", "train.py"]
    killed_at(words, folder, seconds, group=number % 3 > 0)
    assert left_behind(folder, patience=PATIENCE) == [], f"killed after {seconds:.2f} s"
    code, out, err = ran(["report", "run.trace", "--format", "json"], folder)
    assert is_calm(err), err
    if code == 2:
        assert len(err.splitlines()) == 1, err
        assert "run.trace" in err
    else:
        assert code in (0, 1, 5), err
        assert valid(out)["target"]["kind"] == "script"


def check_check(folder: Path, number: int, seconds: float) -> None:
    folder.mkdir()
    (folder / "train.py").write_text(SETUP)
    words = ["check", "train.py:setup", "--report", "report.json"]
    killed_at(words, folder, seconds, group=number % 3 > 0)
    assert left_behind(folder, patience=PATIENCE) == [], f"killed after {seconds:.2f} s"
    report = folder / "report.json"
    if report.exists() and report.read_text():
        valid(report.read_text())


@pytest.mark.parametrize("check", [check_watch, check_check])
def test_a_few_kills_at_random_moments_leave_nothing(check, tmp_path: Path) -> None:
    for number, seconds in enumerate(moments(FEW, 6.0)):
        check(tmp_path / str(number), number, seconds)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_watch, check_check])
def test_a_hundred_kills_at_random_moments_leave_nothing(check, tmp_path: Path) -> None:
    for number, seconds in enumerate(moments(MANY, 8.0)):
        check(tmp_path / str(number), number, seconds)
