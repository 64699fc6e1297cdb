"""The last collectives of a process outlive it."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from traindoctor.instruments.call_log import SLOTS, CallLog, Logged, calls_in, ranks_in, spans
from traindoctor.trace import CallRow, Place

PLACE = Place("/user/träin.py", 12, "main")
QUEUED: dict[str, Any] = {"queue": "0", "turn": 7, "members": (0, 1, 2, 5)}


def dies(path: Path) -> None:
    log = CallLog(path)
    log.leaves(log.enters(CallRow(name="barrier", place=PLACE)), raised=False)
    log.enters(CallRow(name="all_reduce", num_elements=4, place=PLACE, **QUEUED))
    os.abort()


def test_what_was_entered_is_there_after_an_abort(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=dies, args=(tmp_path / "calls",))
    child.start()
    child.join()
    told = [
        (row.number, row.name, row.num_elements, row.state) for row in calls_in(tmp_path / "calls")
    ]
    assert told == [(1, "barrier", 0, "left"), (2, "all_reduce", 4, "entered")]
    row = calls_in(tmp_path / "calls")[-1]
    assert (row.place, row.queue, row.turn, row.members) == (PLACE, *QUEUED.values())


def test_the_last_calls_are_kept_in_their_order(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls")
    for _ in range(SLOTS + 10):
        log.enters(CallRow(name="barrier", place=PLACE))
    assert [row.number for row in calls_in(tmp_path / "calls")] == list(range(11, SLOTS + 11))


def test_a_very_long_path_leaves_the_log_readable(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls")
    log.enters(CallRow(name="all_reduce", place=Place("/ü" * 900, 3, "f" * 900)))
    assert len(calls_in(tmp_path / "calls")) <= 1
    log.enters(CallRow(name="barrier", place=PLACE))
    assert calls_in(tmp_path / "calls")[-1].name == "barrier"


def test_a_process_says_where_it_is_and_since_when_it_has_done_nothing(tmp_path: Path) -> None:
    times = iter([1.0, 2.0, 3.0, 5.0, 9.0])
    log = CallLog(tmp_path / "calls", rank=3, clock=lambda: next(times))
    log.is_at(PLACE, is_active=False)
    about = Logged(tmp_path / "calls").about
    assert about is not None
    assert (about.process, about.rank, about.place) == (os.getpid(), 3, PLACE)
    assert (about.active_at, about.seen_at) == (3.0, 5.0)


def test_of_a_log_with_gaps_nothing_is_told_but_where_the_process_is(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls")
    log.enters(CallRow(name="barrier", place=PLACE))
    log.is_in_part()
    found = Logged(tmp_path / "calls")
    last = found.last()
    assert (calls_in(tmp_path / "calls"), last and last.name) == ((), "barrier")


@pytest.mark.parametrize(
    ("ranks", "text"),
    [
        ((0, 1, 2, 3), "0-3"),
        ((0, 2, 4, 6), "0-6:2"),
        ((3,), "3"),
        ((0, 1, 2, 5), "0-2,5"),
        ((5, 3), "5,3"),
        (tuple(range(1, 1024, 8)), "1-1017:8"),
        ((), ""),
    ],
)
def test_ranks_are_written_briefly(ranks: tuple[int, ...], text: str) -> None:
    assert (spans(ranks), ranks_in(text)) == (text, ranks)


def test_ranks_that_were_cut_off_are_not_known() -> None:
    assert ranks_in(spans(tuple(n * n for n in range(40)))[:60]) == ()


def test_no_log_is_no_calls(tmp_path: Path) -> None:
    assert calls_in(tmp_path / "none") == ()
