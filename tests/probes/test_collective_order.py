"""Collectives that not all ranks enter."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks, raised
from tests.probes.ranking import both, rank
from tests.probes.running import line

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CallRow, RankRow
from traindoctor_probes.collective_order import examine

SUM, BACKWARD = line(30, "dist.all_reduce(total)"), line(23, "loss.backward()")
LOST = raised("RuntimeError", "Connection closed by peer", phase="train_loop")


def calls(*names: str, first: int = 1, state: str = "entered", size: int = 1) -> dict[str, Any]:
    """Return calls of which the last one is in this state."""
    rows = [
        CallRow(
            number=number,
            name=name,
            place=BACKWARD if name == "backward pass" else SUM,
            num_elements=size,
            state="left",
        )
        for number, name in enumerate(names, start=first)
    ]
    last = rows.pop()
    ended = CallRow(
        number=last.number, name=last.name, place=last.place, num_elements=size, state=state
    )
    return {"calls": (*rows, ended), "state": "running"}


def findings(*ranks: RankRow) -> list[Finding]:
    return list(examine(asks(compare_ranks=both(*ranks)), NoOptions()))


PASS = "backward pass"


def test_a_collective_of_one_rank_alone_is_told_at_its_line() -> None:
    (finding,) = findings(
        rank(0, **calls(PASS, PASS, "all_reduce")), rank(1, **calls(PASS, PASS, PASS))
    )
    assert (finding.code, finding.location.line) == ("TD907", SUM.line)
    assert [place.line for place in finding.also_at] == [SUM.line, BACKWARD.line]


def test_tensors_of_another_size_are_told() -> None:
    assert (
        len(findings(rank(0, **calls("all_reduce", size=4)), rank(1, **calls("all_reduce")))) == 1
    )


def test_objects_may_be_of_any_size() -> None:
    name = "all_gather_object"
    assert findings(rank(0, **calls(name, size=4)), rank(1, **calls(name))) == []


def test_a_rank_that_waits_for_a_slower_one_is_healthy() -> None:
    """As when somebody ends a run while one rank is behind."""
    assert findings(rank(0, **calls(PASS, "all_reduce")), rank(1, **calls(PASS))) == []


def test_a_rank_that_died_by_itself_is_not_this() -> None:
    assert findings(rank(0, **calls(PASS, PASS)), rank(1, **calls(PASS, state="left"))) == []


def test_a_run_that_came_to_its_end_is_healthy() -> None:
    ended = {"state": "returned"}
    one, other = calls(PASS, "all_reduce"), calls(PASS, PASS)
    assert findings(rank(0, **one | ended), rank(1, **other | ended)) == []


def test_an_earlier_difference_that_nobody_was_stuck_at_is_not_told() -> None:
    one = calls("broadcast", PASS, PASS, PASS)
    assert findings(rank(0, **one), rank(1, **calls(PASS, PASS, PASS, PASS))) == []


@pytest.mark.parametrize("state", ["entered", "raised"])
def test_old_calls_that_one_log_has_lost_are_passed_over(state: str) -> None:
    long = calls(*[PASS] * 4, "all_reduce", first=7, state=state)
    short = calls(*[PASS] * 3, first=9, state=state)
    assert len(findings(rank(0, **long), rank(1, **short))) == 1
