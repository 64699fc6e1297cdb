"""The last collectives of a process outlive it."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from traindoctor.instruments.call_log import SLOTS, CallLog, calls_in
from traindoctor.trace import Place

PLACE = Place("/user/träin.py", 12, "main")


def dies(path: Path) -> None:
    log = CallLog(path)
    log.leaves(log.enters("barrier", 0, PLACE), "barrier", 0, PLACE, raised=False)
    log.enters("all_reduce", 4, PLACE)
    os.abort()


def test_what_was_entered_is_there_after_an_abort(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=dies, args=(tmp_path / "calls",))
    child.start()
    child.join()
    told = [
        (row.number, row.name, row.num_elements, row.state) for row in calls_in(tmp_path / "calls")
    ]
    assert told == [(1, "barrier", 0, "left"), (2, "all_reduce", 4, "entered")]
    assert calls_in(tmp_path / "calls")[0].place == PLACE


def test_the_last_calls_are_kept_in_their_order(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls")
    for _ in range(SLOTS + 10):
        log.enters("barrier", 0, PLACE)
    assert [row.number for row in calls_in(tmp_path / "calls")] == list(range(11, SLOTS + 11))


def test_a_very_long_path_leaves_the_log_readable(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls")
    log.enters("all_reduce", 1, Place("/ü" * 900, 3, "f" * 900))
    assert len(calls_in(tmp_path / "calls")) <= 1
    log.enters("barrier", 0, PLACE)
    assert calls_in(tmp_path / "calls")[-1].name == "barrier"


def test_no_log_is_no_calls(tmp_path: Path) -> None:
    assert calls_in(tmp_path / "none") == ()
