"""Ranks that get unequal numbers of batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.probes.asking import asks, raised
from tests.probes.ranking import both, rank

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import RankRow
from traindoctor_probes.rank_steps import examine

LOST = raised("RuntimeError", "Connection closed by peer", phase="train_loop")


def longer(**facts: Any) -> RankRow:
    row = rank(0, digests="abcde", **facts)
    return replace(row, passes=(replace(row.passes[0], has_ended=False),))


def findings(*ranks: RankRow) -> list[Finding]:
    return list(examine(asks(compare_ranks=both(*ranks)), NoOptions()))


def test_a_rank_that_fails_behind_the_others_is_told_at_its_loader() -> None:
    (finding,) = findings(longer(exceptions=(LOST,), state="exception"), rank(1))
    assert (finding.code, finding.location.line) == ("TD904", 10)
    assert finding.title == "Ranks get 4 and 5 batches in the same epoch"


def test_a_rank_that_waits_until_it_is_ended_is_told() -> None:
    assert len(findings(longer(state="running"), rank(1))) == 1


def test_ranks_that_join_are_healthy() -> None:
    assert findings(rank(0, digests="abcde"), rank(1)) == []


def test_a_rank_that_fails_in_the_middle_is_not_this() -> None:
    short = rank(1, exceptions=(LOST,), state="exception")
    short = replace(short, passes=(replace(short.passes[0], has_ended=False),))
    assert findings(longer(state="running"), short) == []
