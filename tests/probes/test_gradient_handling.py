"""Gradients that nobody clears, and gradients that are cleared too soon."""

from __future__ import annotations

from tests.probes.asking import asks
from tests.probes.running import line, run, source

from traindoctor.probing import Confidence, NoOptions
from traindoctor.trace import BackwardRow, SetupRow, StepRow, Trace
from traindoctor_probes.gradient_handling import examine

LOOP = (
    "def train_step(model, batch, optimizer):\n" + "    pass\n" * 17 + "    optimizer.zero_grad()\n"
)


def findings(trace: Trace) -> list[tuple[str, int | None]]:
    given = asks(short_run=trace, read_source=Trace(source=source(LOOP)))
    return [(item.code, item.location.line) for item in examine(given, NoOptions())]


def test_gradients_of_the_step_before_are_reported_at_the_step() -> None:
    assert findings(run(step={"num_stale": 4})) == [("TD208", 20)]


def test_a_train_step_may_leave_clearing_to_its_caller_so_it_is_likely_only() -> None:
    trace = run(step={"num_stale": 4}, setup={"has_train_loop": False, "has_train_step": True})
    (finding,) = examine(asks(short_run=trace), NoOptions())
    assert finding.confidence is Confidence.LIKELY


def test_two_optimizers_that_clear_only_now_and_then_are_left_alone() -> None:
    rows = [StepRow(index=i, batch=i, num_stale=4 * (i == 3), num_gradients=4) for i in range(6)]
    assert findings(run(steps=tuple(rows))) == []


def test_cleared_gradients_are_reported_at_the_line_that_clears() -> None:
    trace = run(step={"num_gradients": 0, "num_cleared": 4, "num_changed": 0})
    assert findings(trace) == [("TD209", 19)]


def test_gradients_cleared_to_zero_count_as_cleared() -> None:
    trace = run(step={"num_gradients": 4, "num_zero_gradients": 4, "num_cleared": 4})
    assert [code for code, _ in findings(trace)] == ["TD209"]


def test_a_step_that_finds_its_gradients_is_left_alone() -> None:
    assert findings(run(step={"num_cleared": 1})) == []  # an other optimizer's pass filled that one


def test_the_doctors_own_loop_is_not_judged() -> None:
    assert findings(run(step={"num_stale": 4}, setup={"trains_by_hand": False})) == []


def test_the_step_line_stands_in_where_no_clearing_is_written() -> None:
    trace = run(step={"num_gradients": 0, "num_cleared": 4, "place": line(7)})
    assert findings(trace) == [("TD209", 7)]


def by_hand(num_present: int, num_moved: int = 4, num_passes: int = 5) -> Trace:
    """Return passes without an optimizer; the weights moved before each but the first."""
    rows = tuple(
        BackwardRow(
            index=i,
            step=0,
            batch=i,
            place=line(12),
            num_moved_before=num_moved if i else 0,
            num_present_before=num_present if i else 0,
        )
        for i in range(num_passes)
    )
    return Trace(setup=SetupRow(trains_by_hand=True, has_train_loop=True), backwards=rows)


def test_gradients_that_an_update_by_hand_has_used_and_kept_are_stale() -> None:
    assert findings(by_hand(num_present=4)) == [("TD208", 12)]


def test_an_update_by_hand_that_clears_them_is_left_alone() -> None:
    assert findings(by_hand(num_present=0)) == []


def test_two_updates_by_hand_are_too_few_to_judge() -> None:
    assert findings(by_hand(num_present=4, num_passes=3)) == []
