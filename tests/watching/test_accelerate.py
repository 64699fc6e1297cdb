"""Programs that train by accelerate, started by `watch --nproc` and by `accelerate launch`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.watched import watched

pytest.importorskip("accelerate")

PROGRAM = """
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.head = nn.Linear(32, 2)

    def forward(self, x):
        return self.head(self.body(x))


accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
torch.manual_seed(0)
labels = torch.randint(2, (1280,))
angles, radii = 6.283 * torch.rand(1280), 0.5 + 0.7 * labels + 0.1 * torch.randn(1280)
points = torch.stack([radii * angles.cos(), radii * angles.sin()], dim=1)
loader = DataLoader(TensorDataset(points, labels), batch_size=32, shuffle=True)
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
for epoch in range(4):
    for x, y in loader:
        with accelerator.accumulate(model):
            loss = nn.functional.cross_entropy(model(x), y)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    total = accelerator.gather(loss.detach()[None]).mean()
    accelerator.print(f"epoch {epoch}: {total.item():.3f}")
    accelerator.wait_for_everyone()
accelerator.end_training()
"""
PAST_THE_WRAPPER = PROGRAM.replace("model(x), y", "accelerator.unwrap_model(model)(x), y")
LAUNCH = (sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1")
SETTINGS = ("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")
SEVERAL = ("--multi_gpu", "--num_processes")  # with ACCELERATE_USE_CPU: as many on processors


def launched(folder: Path, program: str, *how: str) -> tuple[dict[str, Any], str]:
    """Return the report on a program that `accelerate launch` starts, and what was printed."""
    (folder / "script.py").write_text(program)
    watch = ("-m", "traindoctor", "watch", "--report", "report.json", "script.py")
    done = subprocess.run(
        [*LAUNCH, *SETTINGS, *how, *watch],
        cwd=folder,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        timeout=300,
        text=True,
        check=False,
    )
    return json.loads((folder / "report.json").read_text()), done.stdout + done.stderr


def started(folder: Path, program: str, number: int) -> dict[str, Any]:
    """Return the report on a program that `watch --nproc` starts."""
    (folder / "script.py").write_text(program)
    found: dict[str, Any] = json.loads(
        watched("script.py", folder, "--nproc", str(number)).read_text()
    )
    return found


def loud(report: dict[str, Any]) -> list[str]:
    roots = [f for f in report["findings"] if f["role"] == "root-cause"]
    return [f["code"] for f in roots if f["severity"] != "info"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_a_healthy_program_makes_one_healthy_report(tmp_path: Path, number: int) -> None:
    report = started(tmp_path, PROGRAM, number)
    ranks = report["target"]["distributed"]["ranks"]
    assert (loud(report), report["verdict"], ranks) == ([], "healthy", list(range(number)))


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_accelerate_launch_makes_one_healthy_report(tmp_path: Path, number: int) -> None:
    report, printed = launched(tmp_path, PROGRAM, *SEVERAL, str(number))
    ranks = report["target"]["distributed"]["ranks"]
    assert (loud(report), report["verdict"], ranks) == ([], "healthy", list(range(number)))
    assert (printed.count("Healthy:"), printed.count("epoch 0:")) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_a_model_that_is_called_past_its_wrapper_is_told(tmp_path: Path, number: int) -> None:
    report, _ = launched(tmp_path, PAST_THE_WRAPPER, *SEVERAL, str(number))
    assert loud(report) == ["TD903"]
    assert loud(started(tmp_path, PAST_THE_WRAPPER, number)) == ["TD903"]


@pytest.mark.slow
def test_without_mpi_accelerate_starts_one_process_on_processors(tmp_path: Path) -> None:
    """Then the report is on one: it does not claim to have compared any."""
    report, _ = launched(tmp_path, PROGRAM, "--cpu", "--num_processes", "2")
    assert report["target"]["distributed"] == {"world_size": 1}
    assert (loud(report), report["verdict"]) == ([], "healthy")
