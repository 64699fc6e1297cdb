"""A graph may be retained for somebody; where nobody comes it is a warning."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import BackwardRow, GraphRow, Place, Trace
from traindoctor_probes.retained_graphs import examine

LINE, OTHER = Place("/user/train.py", 20, "train"), Place("/user/train.py", 21, "train")


def graphs(number: int = 8, **facts: Any) -> list[GraphRow]:
    given = {"num_nodes": 9, "is_retained": True, "consumer_place": LINE} | facts
    return [GraphRow(backward=index, **given) for index in range(number)]


def found(rows: list[GraphRow]) -> list[Finding]:
    run = Trace(backwards=(BackwardRow(index=0, step=0, batch=0),), graphs=tuple(rows))
    return list(examine(asks(short_run=run), NoOptions()))


def test_a_line_that_retains_for_nobody_is_a_warning() -> None:
    (finding,) = found(graphs())
    assert (finding.code, finding.severity) == ("TD305", Severity.WARNING)
    assert finding.location.line == 20
    assert finding.title == "retain_graph=True in 7 backward passes, and no node is used again"


def test_of_two_lines_the_one_that_retains_is_named() -> None:
    rows = [row for pair in zip(graphs(4), graphs(4, is_retained=False, consumer_place=OTHER),
                                strict=True) for row in pair]  # fmt: skip
    assert [finding.location.line for finding in found(rows)] == [20]


@pytest.mark.parametrize(
    "rows",
    [
        graphs(is_retained=False),
        graphs(num_reached_again=4),  # a second loss through the same forward
        graphs(num_stale=3),  # a state kept from step to step: TD302's matter
        [*graphs(4), *graphs(4, is_retained=False)],  # on some passes only
        graphs(3),
        [],
    ],
)
def test_graphs_that_are_used_or_not_retained_are_silent(rows: list[GraphRow]) -> None:
    assert found(rows) == []


def test_what_follows_the_last_pass_is_not_known() -> None:
    assert found([*graphs(3, num_reached_again=2), *graphs(1)]) == []
