"""One script as several processes: every rank records, one report is made."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from traindoctor.target.processes import this_rank
from traindoctor.trace import CallRow, Place, RankRow, Trace
from traindoctor.trace.storage import StoredTraces, TraceFile
from traindoctor.watching.meeting import lost, together, trace_of, traces_beside
from traindoctor.watching.record import RUN

FAULTS = Path(__file__).parents[2] / "fixtures" / "faults"
HEALTHY = str(FAULTS / "ranks-see-same-data" / "healthy.py")
COMMAND = (sys.executable, "-m", "traindoctor")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ENVIRONMENT = {
    "RANK": "5",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
    "TORCHELASTIC_RUN_ID": "job 7",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RESTART_COUNT": "0",
}
DIES = """
import os, sys, time
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
model = DistributedDataParallel(nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(40):
    if step == 12 and dist.get_rank() == 1:
        END
    optimizer.zero_grad()
    model(torch.randn(8, 4)).pow(2).mean().backward()
    optimizer.step()
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, capture_output=True, timeout=120, text=True, check=False
    )


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def roots(report: Mapping[str, Any]) -> list[str]:
    return [f["code"] for f in report["findings"] if f["role"] == "root-cause"]


def test_a_process_knows_itself_by_what_torchrun_tells() -> None:
    rank = this_rank(ENVIRONMENT)
    assert rank is not None
    assert (rank.rank, rank.local_rank, rank.world_size, rank.local_world_size) == (5, 1, 8, 4)
    assert rank.meeting == "job-7-29500-0"
    assert trace_of(Path("a/run.trace"), rank) == Path("a/run.trace.rank-1")


@pytest.mark.parametrize(
    "changes",
    [{"WORLD_SIZE": "1"}, {"TORCHELASTIC_RUN_ID": None}, {"RANK": None}, {"RANK": "first"}],
)
def test_who_is_alone_or_started_otherwise_meets_nobody(changes: dict[str, str | None]) -> None:
    environment = {k: v for k, v in (ENVIRONMENT | changes).items() if v is not None}
    assert this_rank(environment) is None


def test_runs_without_a_name_are_told_apart_by_who_started_them() -> None:
    rank = this_rank(ENVIRONMENT | {"TORCHELASTIC_RUN_ID": "none"})
    assert rank is not None
    assert rank.meeting == f"none-29500-0-{os.getppid()}"


def test_traces_beside_a_trace_are_those_of_its_ranks_in_their_order(tmp_path: Path) -> None:
    for name in ("run.trace", "run.trace.rank-10", "run.trace.rank-2", "run.trace.rank-2-wal"):
        (tmp_path / name).touch()
    names = [path.name for path in traces_beside(tmp_path / "run.trace")]
    assert names == ["run.trace.rank-2", "run.trace.rank-10"]


def test_a_process_alone_is_compared_with_nobody(tmp_path: Path) -> None:
    first, one = tmp_path / "run", Trace(ranks=(RankRow(rank=0),), facts={"state": "returned"})
    assert together(one, first) is None
    other = tmp_path / "run.rank-1"
    other.touch()  # nothing is written yet
    assert together(one, first) is None
    file = TraceFile(other)
    file.put_facts(RUN, {"num_steps": 7})
    assert together(one, first) is None
    file.put(RUN, "ranks", [RankRow(rank=1)])
    file.close()
    both = together(one, first)
    assert both is not None
    assert [(row.rank, row.num_steps) for row in both.ranks] == [(0, 0), (1, 7)]


def test_a_process_that_was_lost_is_named_with_its_last_line() -> None:
    call = CallRow(number=4, name="barrier", place=Place("train.py", 9), state="entered")
    assert lost(RankRow(rank=1, state="returned", calls=(call,))) == ""
    assert lost(RankRow(rank=1, state="running")) == "rank 1 did not end by itself"
    waiting = RankRow(rank=1, state="running", calls=(call,))
    assert lost(waiting) == "rank 1 was in barrier at train.py:9"


@pytest.mark.parametrize(
    ("number", "says"),
    [("0", "--nproc takes 1 to"), ("-2", "--nproc takes 1 to"), ("100000", "not 100000")],
)
def test_a_number_of_processes_that_makes_no_sense_is_one_sentence(
    tmp_path: Path, number: str, says: str
) -> None:
    (tmp_path / "script.py").write_text("open('ran', 'w')\n")
    done = run(tmp_path, *COMMAND, "watch", "--nproc", number, "script.py")
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def can_meet() -> bool:
    """Tell whether processes of this machine reach one another at the loopback address."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), timeout=5),
        ):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not can_meet(), reason="there is no loopback network here")
def test_two_processes_make_one_report_and_their_traces_can_be_kept(tmp_path: Path) -> None:
    words = ("watch", "--nproc", "2", "--trace", "kept", "--report", "report.json", HEALTHY)
    done = run(tmp_path, *COMMAND, *words)
    report = told(tmp_path)
    assert (done.returncode, report["verdict"], report["findings"]) == (0, "healthy", [])
    assert report["target"]["distributed"] == {"world_size": 2, "ranks": [0, 1]}
    assert "2 ranks" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "kept",
        "kept.calls",
        "kept.rank-1",
        "kept.rank-1.calls",
        "report.json",
    ]
    assert StoredTraces(tmp_path / "kept.rank-1").facts(RUN)["troubles"] == ()
    again = run(tmp_path, *COMMAND, "report", "kept", "--format", "json")
    assert json.loads(again.stdout)["target"]["distributed"]["ranks"] == [0, 1]


@pytest.mark.slow
def test_watching_changes_nothing_of_what_ranks_print(tmp_path: Path) -> None:
    bare = run(tmp_path, *TORCHRUN, HEALTHY)
    watched = run(tmp_path, *COMMAND, "watch", "-q", "--nproc", "2", HEALTHY)
    assert bare.stdout.startswith("epoch 1: loss")
    assert watched.stdout == bare.stdout


@pytest.mark.slow
def test_under_torchrun_one_rank_reports_and_nothing_is_left(tmp_path: Path) -> None:
    watch = ("-m", "traindoctor", "watch", "--report", "report.json")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [*TORCHRUN, *watch, HEALTHY],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=120,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("Healthy:")) == (0, 1)
    assert told(tmp_path)["target"]["distributed"]["ranks"] == [0, 1]
    assert list(tmp_path.glob("traindoctor-*/*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "status"),
    [("sys.exit(3)", 3), ("raise ValueError('mine')", 1), ("os.kill(os.getpid(), 9)", None)],
)
@pytest.mark.parametrize("start", ["nproc", "torchrun"])
def test_a_rank_that_dies_ends_the_run_with_a_report(
    tmp_path: Path, start: str, end: str, status: int | None
) -> None:
    (tmp_path / "script.py").write_text(DIES.replace("END", end))
    report = ("--report", "report.json", "script.py")
    if start == "nproc":
        done = run(tmp_path, *COMMAND, "watch", "--nproc", "2", *report)
        assert done.returncode == status or status is None
    else:
        done = run(tmp_path, *TORCHRUN, "-m", "traindoctor", "watch", *report)
    assert done.returncode != 0
    found = told(tmp_path)
    assert found["target"]["distributed"]["ranks"] == [0, 1]
    assert not {"TD902", "TD903", "TD904", "TD907"} & set(roots(found))
    assert found["verdict"] != "healthy"
    assert "rank " in found["measurements"]["seen"]["lost"]
