"""What two backward passes share is named; passes with graphs of their own are left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from traindoctor.errors import CannotJudge
from traindoctor.experiments import ShortRun
from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import (
    BackwardRow,
    ExceptionRow,
    GraphRow,
    OperationRow,
    Place,
    SetupRow,
    SourceRow,
    Trace,
)
from traindoctor_probes._shared_values import cause, detached
from traindoctor_probes.graph_reuse import examine

LINE, LOOP = Place("/user/model.py", 7, "forward"), Place("/user/train.py", 30, "train")
TWICE = ExceptionRow(
    phase="backward",
    type_name="RuntimeError",
    message="Trying to backward through the graph a second time (or …",
    place=LOOP,
)
WRITTEN = ExceptionRow(
    phase="backward",
    type_name="RuntimeError",
    message="one of the variables needed for gradient computation has been modified by an inplace "
    "operation: [torch.FloatTensor [32, 8]], which is output 0 of SigmoidBackward0, is at version",
    place=LOOP,
)


def found(run: Trace, watched: Trace | None = None) -> list[Finding]:
    def ask(experiment: Any) -> Trace:
        trace = run if isinstance(experiment, ShortRun) else watched
        assert trace is not None, "it looked closer without a reason"
        return trace

    return list(examine(ask, NoOptions()))


def passes(*sizes: int) -> tuple[BackwardRow, ...]:
    return tuple(BackwardRow(index=i, step=i, batch=i, num_nodes=n) for i, n in enumerate(sizes))


def test_the_line_that_made_the_shared_value_is_named_not_the_backward() -> None:
    shared = GraphRow(backward=1, num_nodes=9, num_stale=4, place=LINE, holder="rnn", attribute="h")
    (finding,) = found(Trace(exceptions=(TWICE,)), Trace(graphs=(GraphRow(backward=0), shared)))
    assert (finding.code, finding.location.line) == ("TD301", 7)
    assert "`rnn.h`" in finding.message
    assert finding.quote == f"RuntimeError: {TWICE.message}"


def test_a_watched_run_counts_the_nodes_that_are_older() -> None:
    shared = GraphRow(backward=1, num_nodes=9, num_stale=4, is_earlier_loss=True)
    (finding,) = found(Trace(exceptions=(TWICE,)), Trace(graphs=(GraphRow(backward=0), shared)))
    assert finding.title.startswith("Backward goes again through 4 graph nodes")
    assert "4 of them are older" in finding.message
    assert "losses are added up as tensors" in finding.message
    assert finding.location.line == 30


TEXT = """\
def train():
    hidden = None
    kept = []
    for batch in loader:
        kept.append(model(batch))
        out, hidden = net(batch, hidden)
        loss.backward()

def other():
    kept.append(1)
"""


@pytest.mark.parametrize(("keeper", "name", "line"), [("", "hidden", 6), ("kept", "kept", 5)])
def test_of_a_watched_run_the_line_that_sets_what_is_kept_is_named(
    keeper: str, name: str, line: int
) -> None:
    shared = GraphRow(backward=1, num_nodes=9, num_stale=4, attribute=keeper)
    raised = replace(TWICE, place=Place("/user/train.py", 7, "train"))
    source = (SourceRow(file="/user/train.py", text=TEXT),)
    seen = Trace(graphs=(GraphRow(backward=0), shared), source=source)
    (finding,) = found(Trace(exceptions=(raised,)), seen)
    assert (finding.location.line, finding.subject) == (line, name)


def test_two_values_that_are_shared_are_two_causes() -> None:
    kept = GraphRow(backward=1, num_stale=9, num_behind=4, place=LINE, holder="net", attribute="c")
    copied = replace(kept, num_behind=5, place=LOOP, attribute="", parameters=("net.w", "net.v"))
    graphs = (GraphRow(backward=0), kept, copied)
    both = found(Trace(exceptions=(TWICE,)), Trace(graphs=graphs))
    assert [(f.location.line, bool(f.quote)) for f in both] == [(7, True), (30, False)]
    assert [f.evidence[0].value for f in both] == [4, 5]


def test_parameters_with_a_graph_behind_them_are_reason_to_look() -> None:
    run = Trace(setup=SetupRow(inherited=("net.w",)), backwards=passes(6, 6, 6))
    row = GraphRow(backward=1, num_stale=2, place=LINE, parameters=("net.w",))
    (finding,) = found(run, Trace(graphs=(row,), exceptions=(TWICE,)))
    assert (finding.code, finding.location.line) == ("TD301", 7)
    assert finding.remedies[0].after.startswith("with torch.no_grad():")


def test_parameters_with_a_graph_that_nothing_uses_up_are_left_alone() -> None:
    run = Trace(setup=SetupRow(inherited=("net.w",)), backwards=passes(6, 6, 6))
    row = GraphRow(backward=1, num_stale=2, place=LINE, parameters=("net.w",))
    assert found(run, Trace(graphs=(row,))) == []


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("self.seen[key] = codes, features.mean(-1)", "features.mean(-1).detach()"),
        ("self.h = torch.tanh(x)", "torch.tanh(x).detach()"),
        ("self.h = a.mean() + b.mean()", ""),
        ("self.h = a + b", ""),
        ("self.h = net(", ""),
    ],
)
def test_a_line_is_mended_where_it_is_clear_what_to_detach(line: str, after: str) -> None:
    operation = "Tanh" if "tanh" in line else "Mean"
    mended = detached(line, operation)
    assert mended.endswith(after) if after else mended == ""


def test_an_optimizer_writing_into_a_kept_graph_is_that_graphs_fault() -> None:
    shared = GraphRow(backward=1, num_nodes=9, num_stale=4, place=LINE)
    (finding,) = found(Trace(exceptions=(WRITTEN,)), Trace(graphs=(shared,)))
    assert finding.code == "TD301"


def test_of_the_writes_the_one_to_that_shape_is_named() -> None:
    writes = tuple(
        OperationRow(operation=name, direction="in-place", place=place, input_shapes=(shape,))
        for name, place, shape in (("add_", LINE, (32, 8)), ("mul_", LOOP, (4, 4)))
    )
    (finding,) = found(Trace(exceptions=(WRITTEN,)), Trace(operations=writes))
    assert (finding.code, finding.location.line) == ("TD303", 7)
    assert "Sigmoid" in finding.message


def test_a_run_that_raised_neither_is_not_looked_at_again() -> None:
    assert found(Trace(backwards=(BackwardRow(index=0, step=0, batch=0, num_nodes=6),))) == []


def test_without_a_backward_pass_nothing_is_judged() -> None:
    with pytest.raises(CannotJudge):
        found(Trace())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (GraphRow(backward=1, is_same_loss=True), "same loss"),
        (GraphRow(backward=1, is_earlier_loss=True), "added up"),
        (GraphRow(backward=1, holder="rnn", attribute="h"), "`rnn.h` keeps"),
        (GraphRow(backward=1, is_from_before=True, module="encoder"), "once, before the first"),
        (GraphRow(backward=1, parameters=("a.w",)), "outside `no_grad`"),
        (GraphRow(backward=1, module="encoder"), "by `encoder` in an earlier step"),
    ],
)
def test_each_kind_of_sharing_has_its_own_words(row: GraphRow, words: str) -> None:
    assert words in cause(row)[1]
