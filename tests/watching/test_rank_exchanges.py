"""Messages, groups and waits between processes: who hangs is named, who is slow is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.watched import watched

HEAD = """
import time
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, world_size = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
"""
TRAINING = (
    HEAD
    + """
model = DistributedDataParallel(nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2)))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
torch.manual_seed(rank)
points = torch.randn(24, 16, 4)
labels = (points[..., 0] > 0).long()
{before}
for step in range(24):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(points[step]), labels[step])
    loss.backward()
    optimizer.step()
{after}
{end}
"""
)
PIPELINE = (
    HEAD
    + """
last = rank == world_size - 1
part = nn.Sequential(nn.Linear(4, 16), nn.Tanh()) if rank == 0 else nn.Linear(16, 2)
optimizer = torch.optim.AdamW(part.parameters(), lr=1e-2)
points = torch.randn(24, 16, 4)
labels = (points[..., 0] > 0).long()
for step in range(24):
    optimizer.zero_grad()
    if rank == 0:
        hidden = part(points[step])
        FORWARD(hidden.detach(), 1)
        gradient = torch.empty_like(hidden)
        dist.recv(gradient, 1)
        hidden.backward(gradient)
    else:
        hidden = torch.empty(16, 16)
        dist.recv(hidden, 0)
        hidden.requires_grad_()
        nn.functional.cross_entropy(part(hidden), labels[step]).backward()
        dist.send(hidden.grad, 0)
    optimizer.step()
    LATER
dist.barrier()
"""
)
BATCHED = """
if step % 8 == 0:
    mine, theirs = torch.full((8,), float(rank)), torch.empty(8)
    other = (rank + 1) % world_size
    ops = [
        dist.P2POp(dist.isend, mine, other),
        dist.P2POp(dist.irecv, theirs, (rank - 1) % world_size),
    ]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
"""
PAIRS = """
pairs = [dist.new_group([0, 1]), dist.new_group([0])]
"""
IN_PAIRS = """
total = loss.detach().clone()
if rank == 0 and step % 5 == 0:
    dist.all_reduce(total, group=pairs[1])
dist.broadcast(total, 0, group=pairs[0])
"""
JOINED = (
    HEAD
    + """
from torch.distributed.algorithms import Join
model = DistributedDataParallel(nn.Linear(4, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
torch.manual_seed(rank)
points = torch.randn(24 + 8 * rank, 16, 4)
labels = (points[..., 0] > 0).long()
with Join([model]):
    for step in range(24 + 8 * rank):
        if rank == 1 and step == 28:
            time.sleep(4)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(points[step]), labels[step]).backward()
        optimizer.step()
dist.barrier()
"""
)


def training(before: str = "", after: str = "", end: str = "dist.barrier()") -> str:
    lines = "".join(f"    {line}\n" for line in after.strip().splitlines())
    return TRAINING.format(before=before, after=lines, end=end)


SLOW = "if rank == 0 and step == 12:\n    " + "time.sleep(6)"
EVALUATES = """
if rank == 0 and step == 12:
    end = time.monotonic() + 6
    while time.monotonic() < end:
        with torch.no_grad():
            model.module(points[0])
"""
AS_IT_SENDS = PIPELINE.replace("FORWARD", "dist.send").replace("LATER", "")
AHEAD = PIPELINE.replace("FORWARD", "work = dist.isend").replace(
    "        dist.recv(gradient, 1)\n", "        dist.recv(gradient, 1)\n        work.wait()\n"
)
HEALTHY = {
    "a pipeline": AS_IT_SENDS,
    "a pipeline that sends ahead": AHEAD.replace("LATER", ""),
    "messages in a batch": training(after=BATCHED),
    "groups of some ranks": training(before=PAIRS, after=IN_PAIRS),
    "ranks that join": JOINED,
    "a checkpoint on the first rank": training(after=SLOW),
    "an evaluation on the first rank": training(after=EVALUATES),
    "an asynchronous sum": training(
        after="total = loss.detach().clone()\n"
        "work = dist.all_reduce(total, async_op=True)\nwork.wait()"
    ),
}
BOTH_RECEIVE = """
if step == 12:
    got = torch.empty(8)
    dist.recv(got, 1 - rank)
    dist.send(torch.ones(8), 1 - rank)
"""
TWO_ORDERS = """
if step == 12:
    first, second = groups if rank == 0 else groups[::-1]
    dist.barrier(group=first)
    dist.barrier(group=second)
"""
HANGS = {
    "both receive": (training(after=BOTH_RECEIVE), "dist.recv(got, 1 - rank)"),
    "two orders": (
        training(before="groups = [dist.new_group([0, 1]) for _ in range(2)]", after=TWO_ORDERS),
        "dist.barrier(group=first)",
    ),
    "received too often": (
        AS_IT_SENDS.replace(
            "dist.barrier()",
            "if rank == 1:\n    dist.recv(torch.empty(4), 0)\nelse:\n    dist.barrier()",
        ),
        "dist.recv(torch.empty(4), 0)",
    ),
    "a message in place of a sum": (
        training(
            after="if step == 12:\n    if rank == 0:\n        dist.all_reduce(loss.detach())\n"
            "    else:\n        dist.recv(torch.empty(1), 0)"
        ),
        "dist.all_reduce(loss.detach())",
    ),
}


def roots(report: dict[str, Any]) -> list[str]:
    return [
        f["code"]
        for f in report["findings"]
        if f["role"] == "root-cause" and f["severity"] != "info"
    ]


def follow(
    folder: Path, program: str, number: int = 2, end: bool = True, seconds: float = 100
) -> tuple[list[str], dict[str, Any]]:
    """Watch a program; return what was said while it ran, and the report.

    Args:
        folder: where it runs.
        program: its text.
        number: of processes.
        end: interrupt it once something is said.
        seconds: that it may take.
    """
    (folder / "script.py").write_text(program)
    command = (sys.executable, "-m", "traindoctor", "watch", "--nproc", str(number))
    running = subprocess.Popen(
        [*command, "--report", "report.json", "script.py"],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    guard = threading.Timer(seconds, os.killpg, (running.pid, signal.SIGKILL))
    guard.start()
    said: list[str] = []
    try:
        for text in running.stderr or ():
            is_said = text.startswith("traindoctor: ")
            said += [text] if is_said else []
            if is_said and end:
                end = False
                time.sleep(0.5)
                running.send_signal(signal.SIGINT)
        running.wait()
    finally:
        guard.cancel()
    return said, json.loads((folder / "report.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_processes_that_only_take_their_time_are_left_alone(tmp_path: Path, name: str) -> None:
    said, report = follow(tmp_path, HEALTHY[name], end=False)
    assert said == []
    told = [(f["code"], f["title"]) for f in report["findings"] if f["severity"] != "info"]
    assert (told, report["measurements"]["seen"]["lost"]) == ([], "")
    if "pipeline" not in name:  # whose first process has no loss to be judged
        assert report["verdict"] == "healthy"


@pytest.mark.slow
@pytest.mark.parametrize("name", HANGS)
def test_a_hang_is_told_at_once_and_is_the_root_cause(tmp_path: Path, name: str) -> None:
    program, at = HANGS[name]
    said, report = follow(tmp_path, program)
    line = 1 + next(i for i, text in enumerate(program.splitlines()) if at in text)
    assert said[0].startswith("traindoctor: ranks wait for one another: rank ")
    assert f"script.py:{line} for " in said[0]
    assert roots(report) == ["TD907"]


@pytest.mark.slow
def test_who_waited_for_a_rank_that_had_ended_is_the_root_cause(tmp_path: Path) -> None:
    end = "group = dist.new_group([0, 1])\nif rank == 0:\n    dist.barrier(group=group)"
    _, report = follow(tmp_path, training(end=end))
    assert roots(report) == ["TD907"]


@pytest.mark.slow
def test_a_rank_that_is_killed_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    kill = "if rank == 1 and step == 12:\n    import os\n    os.kill(os.getpid(), 9)"
    said, report = follow(tmp_path, training(after=kill), end=False)
    assert [text[:31] for text in said] == ["traindoctor: rank 1 is lost: it"]
    assert roots(report) == []


@pytest.mark.slow
def test_four_processes_of_a_pipeline_and_its_groups_are_healthy(tmp_path: Path) -> None:
    before = "pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]\nrows = rank // 2"
    after = "total = loss.detach().clone()\ndist.all_reduce(total, group=pairs[rows])\n" + BATCHED
    (tmp_path / "script.py").write_text(training(before=before, after=after))
    report = json.loads(watched("script.py", tmp_path, "--nproc", "4").read_text())
    assert (roots(report), report["verdict"]) == ([], "healthy")
