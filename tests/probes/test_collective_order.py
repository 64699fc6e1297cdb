"""Collectives that not all ranks enter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks, raised
from tests.probes.ranking import both, rank
from tests.probes.running import line

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CallRow, PassRow, RankRow
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
            queue="0",
            turn=number,
            members=(0, 1),
        )
        for number, name in enumerate(names, start=first)
    ]
    return {"calls": (*rows[:-1], replace(rows[-1], state=state)), "state": "running"}


def message(number: int, of: int, sender: int, turn: int, **facts: Any) -> CallRow:
    """Return a message as one of its two sides has it."""
    receiver = 1 - sender
    return CallRow(
        number=number,
        name="send" if of == sender else "recv",
        peer=receiver if of == sender else sender,
        queue=f"0:{sender}>{receiver}",
        turn=turn,
        members=(sender, receiver),
        **{"place": line(40 + of, "dist.recv(buffer, other)"), "num_bytes": 16} | facts,
    )


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


def held(*rows: CallRow, state: str = "running") -> dict[str, Any]:
    """Return the facts of a rank that stood in the last of these."""
    return {"calls": (*rows[:-1], replace(rows[-1], state="entered")), "state": state}


def test_two_that_both_wait_for_a_message_are_told_with_both_lines() -> None:
    (finding,) = findings(
        rank(0, **held(message(1, of=0, sender=1, turn=1))),
        rank(1, **held(message(1, of=1, sender=0, turn=1))),
    )
    assert finding.title == "Ranks do not meet: recv from rank 0 and recv from rank 1"
    assert [place.line for place in finding.also_at] == [40, 41]


def test_a_message_that_is_awaited_while_the_other_side_is_elsewhere_is_told() -> None:
    recv, total = message(1, of=0, sender=1, turn=1), calls("all_reduce")["calls"][0]
    (finding,) = findings(rank(0, **held(recv)), rank(1, **held(total)))
    assert "recv from rank 1 of 0 elements at line 40" in finding.message


def test_a_message_that_was_sent_is_not_awaited() -> None:
    """As when a run is ended while its messages are on their way."""
    sent = message(1, of=1, sender=1, turn=1, is_wait=False)
    findings_ = findings(
        rank(0, **held(message(1, of=0, sender=1, turn=1))),
        rank(1, **held(sent, message(2, of=1, sender=0, turn=1))),
    )
    assert findings_ == []


def test_a_message_of_another_size_is_told_where_somebody_stood_in_it() -> None:
    (finding,) = findings(
        rank(0, **held(message(1, of=0, sender=1, turn=1, num_bytes=32))),
        rank(1, **held(message(1, of=1, sender=1, turn=1))),
    )
    assert finding.code == "TD907"


def test_groups_are_compared_with_themselves_alone() -> None:
    pair = {"queue": "1", "members": (0, 1)}
    one = tuple(replace(row, **pair) for row in calls("broadcast", "all_gather")["calls"])
    total = calls("all_reduce", first=3)["calls"]
    later = tuple(replace(row, turn=1) for row in total)
    assert findings(rank(0, **held(*one, *later)), rank(1, **held(*later))) == []


def test_collectives_of_two_groups_in_another_order_are_told() -> None:
    total, pair = (
        CallRow(number=1, name="all_reduce", queue=q, turn=1, members=(0, 1), place=line(n, "x"))
        for q, n in (("0", 30), ("1", 31))
    )
    (finding,) = findings(rank(0, **held(total)), rank(1, **held(pair)))
    assert [place.line for place in finding.also_at] == [30, 31]
    assert finding.title == "Ranks do not meet: all_reduce and all_reduce in group 1"


def test_a_collective_that_the_others_never_came_to_is_told() -> None:
    ended = {"calls": calls("all_reduce")["calls"], "state": "returned"}
    ended["calls"] = (replace(ended["calls"][0], state="left"),)
    (finding,) = findings(rank(0, **calls("all_reduce", "barrier")), rank(1, **ended))
    assert "waited for rank 1, which came to an end" in finding.message


def test_who_waits_for_a_rank_that_has_no_batch_left_is_another_rules_business() -> None:
    ended = {"calls": (replace(calls(PASS)["calls"][0], state="left"),), "state": "returned"}
    assert findings(rank(0, **calls(PASS, PASS)), rank(1, **ended)) == []
    short = (PassRow(index=0, num_batches=3, num_trained=3, has_ended=True),)
    long = (PassRow(index=0, num_batches=4, num_trained=4),)
    waits = rank(0, **calls("all_reduce", "barrier") | {"passes": long})
    assert findings(waits, rank(1, **ended | {"passes": short})) == []


def test_a_rank_that_failed_by_itself_is_not_blamed_on_who_waited_for_it() -> None:
    failed = {"calls": (replace(calls(PASS)["calls"][0], state="left"),), "exceptions": (LOST,)}
    waits = rank(0, **calls(PASS, "barrier"))
    assert findings(waits, rank(1, **failed | {"state": "exception"})) == []


def test_what_is_without_a_turn_is_not_compared() -> None:
    """As inside `Join`."""
    joined = {"turn": 0, "members": (), "queue": ""}
    one = replace(calls("all_reduce")["calls"][0], **joined)
    other = replace(calls(PASS)["calls"][0], **joined)
    assert findings(rank(0, **held(one)), rank(1, **held(other))) == []
