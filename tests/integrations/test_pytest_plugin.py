"""The plug-in as a project of the user's sees it: pytest in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import torch
from torch import nn

def setup(learning_rate):
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    x = torch.randn(64, 4)
    data = torch.utils.data.TensorDataset(x, (x.sum(1) > 0).long())
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    return model, loader, optimizer, nn.CrossEntropyLoss()

def test_it_learns(traindoctor):
    assert traindoctor.assert_healthy(setup(1e-2), select=["TD4"]).findings == ()

def test_it_cannot_learn(traindoctor):
    traindoctor.assert_healthy(setup(0.0), select=["TD4"])
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    plugin = "traindoctor.integrations.pytest_plugin"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    if not is_installed():
        command += ["-p", plugin]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def is_installed() -> bool:
    """Tell whether the entry point is there, as it is wherever the project is installed."""
    from importlib.metadata import entry_points

    return any(entry.name == "traindoctor" for entry in entry_points(group="pytest11"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_training.py").write_text(TESTS)
    done = run(folder, "--traindoctor-report", "kept")
    return done.stdout + done.stderr, folder


def test_a_healthy_setup_passes_and_a_sick_one_fails(ended):
    assert "1 failed, 1 passed" in ended[0]


def test_the_failure_is_the_report_and_not_our_frames(ended):
    assert re.search(r"TD40\d", ended[0])
    assert "Training is" in ended[0]
    assert "integrations/assertion.py" not in ended[0]


def test_each_examination_leaves_its_report(ended):
    kept = sorted(path.name for path in (ended[1] / "kept").iterdir())

    assert kept == [
        f"test_training.py-{test}-1.{ending}"
        for test in ("test_it_cannot_learn", "test_it_learns")
        for ending in ("html", "json")
    ]
    sick = json.loads((ended[1] / "kept" / kept[1]).read_text())
    assert sick["verdict"] in ("blocked", "unwell")


def test_the_plugin_alone_imports_no_torch(tmp_path):
    (tmp_path / "test_nothing.py").write_text(
        "import sys\ndef test_it(): assert 'torch' not in sys.modules\n"
    )

    assert "1 passed" in run(tmp_path).stdout
