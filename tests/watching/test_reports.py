"""What `watch` and `report` say, from a shell's point of view."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "traindoctor")
TRAIN = Path(__file__).with_name("train.py")
DIVERGES = """
import sys, time, torch
from torch import nn
torch.manual_seed(0)
net = nn.Linear(4, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(int(sys.argv[1])):
    x = torch.randn(8, 4)
    if step >= 20:
        x = torch.log(-x.abs())
    optimizer.zero_grad()
    loss = net(x).pow(2).mean()
    loss.backward()
    optimizer.step()
    time.sleep(float(sys.argv[2]))
"""


def doctor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        cwd=folder,
        timeout=300,
        errors="replace",
        check=False,
    )


def script(folder: Path, text: str) -> str:
    (folder / "script.py").write_text(text)
    return "script.py"


def test_a_healthy_script_is_called_healthy_with_the_cost_of_watching(tmp_path: Path) -> None:
    done = doctor(tmp_path, "watch", "--report", "report.json", str(TRAIN))
    report = json.loads((tmp_path / "report.json").read_text())
    assert (done.returncode, report["verdict"]) == (0, "healthy")
    assert report["target"]["kind"] == "script"
    assert report["measurements"]["seen"]["steps"] == 24
    assert 0 < report["measurements"]["watch"]["share"] < 1
    assert "Watching took" in done.stderr


def test_a_script_that_trains_nothing_ends_with_five_and_says_what_was_seen(
    tmp_path: Path,
) -> None:
    name = script(tmp_path, "import torch\ntorch.nn.Linear(3, 3)(torch.ones(2, 3))\n")
    done = doctor(tmp_path, "watch", name)
    assert done.returncode == 5
    assert "1 forward pass, 0 backward" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("watch", "scirpt.py"), "there is no script scirpt.py; did you mean 'script.py'?"),
        (("watch", "."), "is a folder"),
        (("watch", "--stop-on", "maybe", "script.py"), "--stop-on takes critical"),
        (("watch", "--trace", "script.py", "script.py"), "there is a file script.py already"),
        (("report", "script.py"), "script.py is no trace"),
        (("report", "nothing.trace"), "there is no trace nothing.trace"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_nothing_is_run(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    script(tmp_path, "open('ran', 'w')\n")
    done = doctor(tmp_path, *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def test_a_loss_that_turns_infinite_late_is_named_at_its_line_and_ends_the_run(
    tmp_path: Path,
) -> None:
    name = script(tmp_path, DIVERGES)
    report = ("--report", "report.json")
    done = doctor(tmp_path, "watch", "--stop-on", "critical", *report, name, "100000", "0.01")
    found = json.loads((tmp_path / "report.json").read_text())["findings"]
    roots = [item["code"] for item in found if item["role"] == "root-cause"]
    assert (done.returncode, roots) == (1, ["TD505"])
    assert "traindoctor: CRITICAL TD505 input-not-finite" in done.stderr


@pytest.mark.slow
def test_what_was_seen_of_a_killed_run_is_told_even_if_we_are_killed_too(tmp_path: Path) -> None:
    name = script(tmp_path, DIVERGES)
    with subprocess.Popen(
        [*COMMAND, "watch", "--trace", "run.trace", name, "100000", "0.01"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as watching:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and steps_in(tmp_path / "run.trace") < 12:
            time.sleep(0.2)
        os.killpg(watching.pid, signal.SIGKILL)
    done = doctor(tmp_path, "report", "run.trace", "--format", "json")
    told = json.loads(done.stdout)
    assert told["measurements"]["seen"]["steps"] >= 12
    assert told["target"]["model"]["class"] == "Linear"


def steps_in(path: Path) -> int:
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            query = "SELECT value FROM facts WHERE trace = 'long-run' AND name = 'num_steps'"
            found = connection.execute(query).fetchone()
    except sqlite3.Error:
        return 0
    return int(found[0]) if found else 0
