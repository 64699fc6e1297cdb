"""Who waits for nothing is told; who waits for one that is slow is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traindoctor.instruments.call_log import CallLog
from traindoctor.trace import CallRow, Place
from traindoctor.trace.storage import TraceFile
from traindoctor.watching.lookout import Lookout
from traindoctor.watching.meeting import calls_beside
from traindoctor.watching.record import RUN

SUM, PLACE = Place("/user/train.py", 41, "main"), Place("/user/train.py", 60, "save")
ALL: dict[str, Any] = {"queue": "0", "members": (0, 1)}


class Run:
    """Two processes that write what they are told to, and who looks at them."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self.dead: set[int] = set()
        self.traces = (folder / "run", folder / "run.rank-1")
        for trace in self.traces:
            TraceFile(trace).put_facts(RUN, {"state": "running"})
        self.logs = [
            CallLog(calls_beside(trace), rank, lambda: self.now)
            for rank, trace in enumerate(self.traces)
        ]
        for rank, log in enumerate(self.logs):  # each a process of its own
            log.about = type(log.about)(process=rank, rank=rank)
        self.lookout = Lookout(
            self.traces[0], self.said.append, lambda p: p not in self.dead, lambda: self.now
        )
        self.where = [SUM, PLACE]
        self.tick()

    def tick(self, seconds: float = 1.0, active: tuple[int, ...] = ()) -> None:
        """Let time pass, in which some processes act."""
        while seconds > 0:
            self.now += 1.0
            seconds -= 1.0
            for rank, log in enumerate(self.logs):
                log.is_at(self.where[rank], is_active=rank in active)
            self.lookout.look()

    def enters(self, rank: int, name: str, turn: int = 1, **facts: Any) -> CallRow:
        given = ALL | {"place": SUM, "turn": turn} | facts
        return self.logs[rank].enters(CallRow(name=name, **given))


def test_two_different_collectives_are_told_within_seconds(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.enters(0, "all_reduce")
    run.enters(1, "barrier", place=PLACE)
    run.tick(4)
    (line,) = run.said
    assert line == (
        "ranks wait for one another: rank 0 has been in all_reduce at /user/train.py:41 for 3 s; "
        "rank 1 has been in barrier at /user/train.py:60 for 3 s"
    )


def test_who_waits_for_a_busy_rank_is_never_told(tmp_path: Path) -> None:
    """It evaluates, writes a checkpoint or compiles: it computes, or its line moves on."""
    run = Run(tmp_path)
    run.enters(0, "all_reduce")
    run.tick(3000, active=(1,))
    assert run.said == []


def test_who_waits_for_a_rank_that_does_nothing_is_told_after_a_minute(tmp_path: Path) -> None:
    run = Run(tmp_path)
    call = run.enters(0, "all_reduce")
    run.tick(55)
    assert run.said == []
    run.tick(10)
    (line,) = run.said
    assert line == (
        "rank 0 has been in all_reduce at /user/train.py:41 for 60 s; rank 1 has been at "
        "/user/train.py:60. None of them has done anything for 60 s"
    )
    run.logs[0].leaves(call, raised=False)
    run.tick(5)
    assert run.said[1:] == ["rank 0 has gone on"]


def test_a_run_whose_ranks_have_waited_long_before_is_given_more_time(tmp_path: Path) -> None:
    run = Run(tmp_path)
    call = run.enters(0, "all_reduce")
    run.tick(50)
    run.logs[0].leaves(call, raised=False)
    run.enters(0, "all_reduce", turn=3)
    run.tick(140)
    assert run.said == []
    run.tick(20)
    assert len(run.said) == 1


def test_all_in_one_collective_that_does_not_end_are_told(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.enters(0, "all_reduce")
    run.enters(1, "all_reduce")
    run.tick(62)
    assert len(run.said) == 1


def test_a_group_with_ranks_of_other_machines_is_not_judged(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.enters(0, "all_reduce", members=(0, 1, 2))
    run.tick(500)
    assert run.said == []


def test_a_process_that_cannot_say_where_it_is_may_be_anywhere(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.enters(0, "all_reduce")
    run.logs.pop()
    run.tick(500)
    assert run.said == []


def test_who_waits_for_a_rank_that_has_ended_well_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.logs[1].leaves(run.enters(1, "all_reduce"), raised=False)
    run.logs[0].leaves(run.enters(0, "all_reduce"), raised=False)
    run.enters(0, "barrier", turn=2)
    TraceFile(run.traces[1]).put_facts(RUN, {"state": "returned", "status": 0})
    run.dead.add(1)
    run.tick(4)
    (line,) = run.said
    assert line.endswith("for 3 s; it waits for rank 1, which has ended")


def test_a_rank_that_is_gone_is_told_and_not_who_follows_it(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.enters(1, "all_reduce")
    run.logs[0].leaves(run.enters(0, "all_reduce"), raised=True)
    run.dead |= {0, 1}
    TraceFile(run.traces[0]).put_facts(RUN, {"state": "exception", "status": 1})
    run.tick(5)
    (line,) = run.said
    assert line == (
        "rank 1 is lost: its process is gone; it was in all_reduce at /user/train.py:41"
    )


def test_a_run_that_is_interrupted_is_not_commented_on(tmp_path: Path) -> None:
    run = Run(tmp_path)
    TraceFile(run.traces[1]).put_facts(RUN, {"state": "exception", "status": 130})
    run.dead.add(1)
    run.tick(5)
    assert run.said == []
