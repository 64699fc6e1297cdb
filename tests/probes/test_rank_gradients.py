"""Gradients that nobody averages over the ranks."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.ranking import BACKWARD, WRAP, alone, both, rank, step
from tests.probes.running import line

from traindoctor.errors import CannotJudge
from traindoctor.probing import Confidence, Finding, NoOptions
from traindoctor.trace import CollectiveRow, DigestRow, RankRow, WrapperRow
from traindoctor_probes.rank_gradients import examine

PAST = line(22, "loss = model.module(x).mean()")
APART: dict[str, Any] = {"reduced": (7, 8), "gradients": (7, 8), "after": (9, 9)}


def findings(ranks: tuple[RankRow, ...], digests: tuple[DigestRow, ...]) -> list[Finding]:
    return list(examine(asks(compare_ranks=both(*ranks, digests=digests)), NoOptions()))


def pair(**facts: Any) -> tuple[RankRow, RankRow]:
    return rank(0, **facts), rank(1, **facts)


def test_a_model_called_past_its_wrapper_is_named_there() -> None:
    bypassed = (WrapperRow(place=WRAP, num_bypassed=4, bypassed_place=PAST),)
    (finding,) = findings(pair(wrappers=bypassed), (step(1, 0), step(1, 1, **APART)))
    assert (finding.code, finding.location.line) == ("TD903", PAST.line)
    assert finding.confidence is Confidence.CERTAIN


def test_a_step_inside_no_sync_is_named_there() -> None:
    place = line(21, "with model.no_sync():")
    wrapper = (WrapperRow(place=WRAP, num_calls=4, num_unsynced=4, unsynced_place=place),)
    rows = (step(1, 0, is_synced=False), step(1, 1, is_synced=False, **APART))
    (finding,) = findings(pair(wrappers=wrapper), rows)
    assert finding.location.line == place.line


def test_parameters_that_came_after_the_wrapper_are_named() -> None:
    late: dict[str, Any] = {"unwrapped": ("head.weight",)}
    other = APART | {"reduced": (5, 8), "gradients": (5, 8)}
    (finding,) = findings(pair(), (step(1, 0, **late), step(1, 1, **late, **other)))
    assert "No wrapper had head.weight when it was built" in finding.message


def test_parts_that_each_rank_has_for_itself_are_healthy() -> None:
    own: dict[str, Any] = {"unwrapped": ("head.weight",)}
    other = {"reduced": (5, 8), "gradients": (5, 8), "before": (1, 3), "after": (2, 4)}
    assert findings(pair(), (step(1, 0, **own), step(1, 1, **own, **other))) == []


def test_gradients_that_are_averaged_between_backward_and_step_are_healthy() -> None:
    assert findings(pair(), (step(1, 0), step(1, 1, reduced=(7, 8)))) == []


def test_gradients_that_are_changed_after_they_were_averaged_are_not_this() -> None:
    assert findings(pair(), (step(1, 0), step(1, 1, gradients=(7, 8)))) == []


def test_no_wrapper_at_all_is_likely_where_all_begin_alike() -> None:
    ranks = alone(rank(0)), alone(rank(1))
    (finding,) = findings(ranks, (step(1, 0), step(1, 1, **APART)))
    assert (finding.confidence, finding.location.line) == (Confidence.LIKELY, BACKWARD.line)


def test_trainings_that_begin_apart_are_trainings_of_their_own() -> None:
    ranks = alone(rank(0)), alone(rank(1))
    assert findings(ranks, (step(1, 0), step(1, 1, before=(3, 3), **APART))) == []


def test_weights_that_are_averaged_now_and_then_are_not_judged() -> None:
    averaging = CollectiveRow(name="all_reduce", count=9, num_later=9, of="weights")
    with pytest.raises(CannotJudge, match="exchanges weights itself"):
        findings(pair(collectives=(averaging,)), (step(1, 0), step(1, 1, **APART)))


def test_weights_that_are_sent_before_the_first_step_are_judged() -> None:
    sent = CollectiveRow(name="broadcast", count=2, of="weights")
    mean = CollectiveRow(name="all_reduce", count=8, num_later=6, of="gradients")
    ranks = alone(rank(0), sent, mean), alone(rank(1), sent, mean)
    assert len(findings(ranks, (step(1, 0), step(1, 1, **APART)))) == 1


def test_sharded_parameters_are_not_judged() -> None:
    with pytest.raises(CannotJudge, match="spread over the ranks"):
        findings(pair(is_sharded=True), (step(1, 0), step(1, 1, **APART)))


def test_after_unequal_passes_steps_are_no_longer_the_same() -> None:
    ranks = rank(0, digests="abcde"), rank(1, digests="fghi")
    assert findings(ranks, (step(5, 0), step(5, 1, **APART))) == []
    assert len(findings(ranks, (step(2, 0), step(2, 1, **APART)))) == 1
