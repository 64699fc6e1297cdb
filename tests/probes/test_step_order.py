"""Steps between a loss and its backward pass."""

from __future__ import annotations

from typing import Any

from tests.probes.asking import asks, raised
from tests.probes.running import line, run

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import HandlingRow, Trace
from traindoctor_probes.step_order import examine

STEP, BACKWARD = line(20, "optimizer.step()"), line(21, "loss.backward()")


def findings(num_late: int, num_steps: int = 6, **facts: Any) -> list[Finding]:
    row = HandlingRow(
        optimizer=0,
        num_steps=num_steps,
        num_late=num_late,
        place=STEP,
        backward_place=BACKWARD,
    )
    trace: Trace = run(handling=(row,), **facts)
    return list(examine(asks(short_run=trace), NoOptions()))


def test_a_step_between_the_loss_and_its_backward_pass_is_reported_at_the_step() -> None:
    (finding,) = findings(6, step={"num_gradients": 0})
    assert (finding.code, finding.severity, finding.location.line) == ("TD411", "error", 20)
    assert finding.also_at[0].line == 21
    assert {"TD303", "TD405"} <= set(finding.explains)
    assert "6 of 6 steps found no gradient" in finding.message


def test_a_step_that_once_came_early_is_an_accident() -> None:
    assert findings(1) == []
    assert findings(2, num_steps=12) == []


def test_weights_changed_under_the_second_backward_pass_end_the_run_at_once() -> None:
    error = raised("RuntimeError", "a tensor has been modified by an inplace operation")
    (finding,) = findings(1, num_steps=2, exceptions=(error,))
    assert finding.quote == error.message


def test_another_exception_proves_nothing() -> None:
    assert findings(1, num_steps=2, exceptions=(raised("RuntimeError", "size mismatch"),)) == []


def test_the_doctors_own_loop_is_not_judged() -> None:
    assert findings(6, setup={"trains_by_hand": False}) == []
