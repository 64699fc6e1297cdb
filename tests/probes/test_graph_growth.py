"""Graphs that live on are named with who keeps them; what comes to rest is nobody's business."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks, raised

from traindoctor.errors import CannotJudge
from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import BackwardRow, GraphRow, KeptRow, Place, SourceRow, Trace
from traindoctor_probes.graph_growth import examine, longest_growth

FILE = "/user/train.py"
LOOP = Place(FILE, 9, "train")
CODE = """\
def other(losses):
    losses.append(0)

def train(model, loader, optimizer):
    losses = []
    for x, y in loader:
        loss = model(x, y)
        loss.backward()
        optimizer.step()
        losses.append(loss)
"""


def passes(*sizes: int) -> tuple[BackwardRow, ...]:
    return tuple(
        BackwardRow(index=i, step=i, batch=i, num_nodes=n, place=LOOP) for i, n in enumerate(sizes)
    )


def kept(*numbers: int, every: int = 1, **facts: Any) -> tuple[KeptRow, ...]:
    return tuple(
        KeptRow(backward=every * i, num_kept=number, **facts) for i, number in enumerate(numbers)
    )


def found(run: Trace, watched: Trace | None = None, long: Trace | None = None) -> list[Finding]:
    others = {"short_run": run, "read_source": Trace(source=(SourceRow(file=FILE, text=CODE),))}
    if watched is not None:
        others["watch_graph"] = watched
    return list(examine(asks(**others, long_run=long or Trace()), NoOptions()))


STEADY = Trace(backwards=passes(6, 6, 6, 6, 7, 6))


def test_a_graph_that_grows_and_shares_is_reported_at_the_line_that_makes_the_shared_value() -> (
    None
):
    shared = GraphRow(
        backward=3, batch=3, num_nodes=24, num_stale=18, operation="Add", consumer_place=LOOP
    )
    watched = Trace(graphs=(GraphRow(backward=0, num_nodes=6), shared))
    (finding,) = found(Trace(backwards=passes(6, 12, 18, 24)), watched)
    assert (finding.code, finding.location.line) == ("TD302", 9)
    assert finding.title == "The graph grows with every step: 6 nodes, then 24"
    assert finding.remedies[0].title.startswith("Detach")


def test_longer_texts_make_longer_graphs_and_share_nothing() -> None:
    own = tuple(GraphRow(backward=i, batch=i, num_nodes=6 + 3 * i) for i in range(4))
    assert found(Trace(backwards=passes(6, 9, 12, 15)), Trace(graphs=own)) == []


def test_two_passes_over_one_batch_may_share_a_forward() -> None:
    graphs = tuple(GraphRow(backward=i, num_nodes=6 + i, num_stale=4 * (i > 0)) for i in range(4))
    assert found(Trace(backwards=passes(6, 7, 8, 9)), Trace(graphs=graphs)) == []


def test_a_watched_run_is_judged_by_its_own_graphs_and_by_who_keeps_them() -> None:
    graphs = tuple(
        GraphRow(backward=i, batch=i, num_nodes=6 * (i + 1), num_stale=6 * i, consumer_place=LOOP)
        for i in range(8)
    )
    run = Trace(backwards=passes(*(row.num_nodes for row in graphs)), graphs=graphs)
    holder = kept(*range(12), holder="losses", kind="Tensor", place=LOOP)
    (finding,) = found(run, long=Trace(kept=holder))
    assert (finding.code, finding.location.line) == ("TD302", 10)


def test_a_list_that_keeps_losses_is_named_where_it_is_added_to() -> None:
    graphs = (GraphRow(backward=0, num_nodes=6),)
    rows = kept(*range(40), holder="losses", kind="list", num_held=30, place=LOOP)
    long = Trace(backwards=passes(6, 6), graphs=graphs, kept=rows)
    (finding,) = found(STEADY, long=long)
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.CERTAIN)
    assert finding.location.line == 10  # not line 2, of another function
    assert finding.title == "losses keeps the graph of every step: 0 in memory, then 39"
    assert "each of 6 nodes, and none was let go" in finding.message
    assert finding.remedies[0].after == "total += loss.item()"


def test_a_keeper_that_is_not_found_makes_it_likely_at_the_backward() -> None:
    (finding,) = found(STEADY, long=Trace(backwards=passes(6, 6), kept=kept(*range(40))))
    assert (finding.confidence, finding.location.line) == (Confidence.LIKELY, 9)


def test_a_list_that_is_emptied_at_times_is_a_warning() -> None:
    rows = kept(*range(40), 0, 1, 2, 3, holder="losses", kind="list", place=LOOP)
    (finding,) = found(STEADY, long=Trace(kept=rows))
    assert finding.severity is Severity.WARNING
    assert "let go at times" in finding.message


@pytest.mark.parametrize(
    "rows",
    [
        kept(*[0] * 60),
        kept(*range(20)),  # an epoch's worth
        kept(*[*range(12)] * 6),  # emptied with each epoch
        kept(*range(30), *[30] * 30),  # a cache that is full
        kept(*range(60), kind="bounded deque"),
        kept(*[2] * 60),  # the best loss, and an old one
        kept(*range(30), every=100),  # one in a hundred
    ],
)
def test_what_comes_to_rest_is_silent(rows: tuple[KeptRow, ...]) -> None:
    assert longest_growth(rows) == ()


def cycles(holder: str = "total", length: int = 12, **facts: Any) -> Trace:
    rows = kept(*[*range(length)] * 6, holder=holder, kind="Tensor", place=LOOP)
    graphs = tuple(GraphRow(backward=n, num_nodes=6, **facts) for n in range(4))
    return Trace(kept=rows, graphs=graphs, backwards=passes(6))


def test_every_graph_of_one_epoch_after_the_other_is_a_warning() -> None:
    (finding,) = found(STEADY, long=cycles())
    assert finding.severity is Severity.WARNING
    assert finding.title == "total keeps the graph of every step: 0 in memory, then 11"


@pytest.mark.parametrize(
    "run",
    [
        cycles(holder=""),
        cycles(length=6),
        cycles(is_retained=True),  # backward through the last few steps
        Trace(kept=kept(*range(12), 0, holder="total", place=LOOP)),  # once
        Trace(
            kept=kept(*[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8] * 3, holder="best")
        ),
    ],
)
def test_short_lives_with_a_reason_are_silent(run: Trace) -> None:
    assert found(STEADY, long=run) == []


def test_a_share_of_the_steps_is_a_leak_as_well() -> None:
    assert longest_growth(kept(*range(40), every=8))[-1].num_kept == 39


def test_a_graph_that_is_gone_through_twice_is_another_probes_matter() -> None:
    rows = kept(*range(40), holder="losses", kind="list", place=LOOP)
    again = raised("RuntimeError", "Trying to backward through the graph a second time")
    for exceptions, number in (((again,), 0), ((raised("OutOfMemoryError", "no memory"),), 1)):
        run = Trace(backwards=passes(6), exceptions=exceptions)
        assert len(found(run, long=Trace(kept=rows))) == number


def test_without_a_backward_pass_nothing_is_judged() -> None:
    with pytest.raises(CannotJudge):
        found(Trace())
