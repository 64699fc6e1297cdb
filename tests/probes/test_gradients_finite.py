"""A finite loss whose gradient is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import gradients, line, parameter, run

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import BackwardRow, OperationRow, Trace, UpdateRow
from traindoctor_probes.gradients_finite import examine

ROOT = OperationRow(
    operation="Sqrt", direction="backward", kind="nan", place=line(9, "x.sqrt()"), input_minimum=0.0
)
RUN = run(
    parameters=[parameter("body.weight")],
    rows=gradients("body.weight", 0.1, 2) + gradients("body.weight", 1.0, num_not_finite=16)[2:],
)


def findings(trace: Trace, *operations: OperationRow) -> list[Finding]:
    located = Trace(operations=operations)
    return list(examine(asks(short_run=trace, locate_non_finite=located), NoOptions()))


def test_the_operation_its_line_and_its_cure_are_named() -> None:
    (finding,) = findings(RUN, ROOT)
    assert (finding.code, finding.location.line) == ("TD203", 9)
    assert "step 2" in finding.title
    assert finding.remedies[0].after == "(x + 1e-12).sqrt()"


def test_without_an_operation_the_backward_pass_is_pointed_at() -> None:
    (finding,) = findings(RUN)
    assert finding.location.line == 18


def test_a_loss_that_is_itself_not_finite_is_another_rules() -> None:
    losses = tuple(replace(row, value=float("nan")) for row in RUN.losses)
    assert findings(replace(RUN, losses=losses), ROOT) == []


def test_weights_that_were_broken_before_are_another_rules() -> None:
    broken = UpdateRow(
        step=1,
        parameter="body.weight",
        weight_rms=1.0,
        update_rms=1.0,
        share_changed=1.0,
        num_not_finite=1,
    )
    assert findings(replace(RUN, updates=(broken,)), ROOT) == []


def test_a_scalers_warm_up_is_left_alone() -> None:
    rows = gradients("body.weight", 1.0, 2, num_not_finite=16) + gradients("body.weight", 0.1)[2:]
    scaled = replace(RUN, setup=replace(RUN.setup, has_scaler=True), gradients=tuple(rows))
    assert findings(scaled, ROOT) == []


def without_steps(*num_not_finite: int) -> Trace:
    """Return a run in which a guard let no step be taken."""
    rows = tuple(
        replace(row, num_present_after=8, num_not_finite=number)
        for row, number in zip(run().backwards, num_not_finite, strict=True)
    )
    return run(backwards=rows, steps=(), setup={"has_scaler": True})


def test_a_guard_that_skips_every_step_does_not_hide_the_operation() -> None:
    (finding,) = unused(without_steps(0, 6, 6, 6, 6, 6), ROOT)
    assert (finding.code, finding.location.line) == ("TD203", 9)
    assert "5 of 6 backward passes" in finding.title
    assert "TD403" not in finding.explains  # nothing around a step was read


def test_an_overflow_that_a_scaler_will_learn_from_is_left_alone() -> None:
    assert unused(without_steps(6, 6, 6, 6, 6, 6), replace(ROOT, kind="inf")) == []


def test_passes_that_get_better_are_a_warm_up() -> None:
    assert unused(without_steps(6, 6, 6, 6, 6, 0), ROOT) == []


def test_a_guard_against_a_few_bad_batches_does_its_work() -> None:
    assert unused(without_steps(0, 0, 0, 0, 6, 6), ROOT) == []


@pytest.mark.parametrize(("left", "selected"), [(0, "ramp"), (6, "identity")])
def test_the_diagonal_that_was_seen_to_help_is_recommended(left: int, selected: str) -> None:
    origin = replace(ROOT, operation="LinalgEigh", place=line(9, "w, v = torch.linalg.eigh(R)"))
    (finding,) = unused(without_steps(6, 6, 6, 6, 6, 6), origin, ramp=left, identity=6 - left)
    first = next(remedy for remedy in finding.remedies if remedy.recommended)
    assert selected in first.title
    assert first.after.startswith("R = 0.5 * (R + R.mH)")


def unused(trace: Trace, origin: OperationRow, **left: int) -> list[Finding]:
    """Judge a run without steps; `left` are gradients still broken with each diagonal."""
    located = Trace(operations=(origin,))

    def ask(experiment: Any) -> Trace:
        if experiment.name == "part-eigenvalues":
            row = BackwardRow(
                index=0, step=0, batch=0, num_present_after=8, num_not_finite=left[experiment.shift]
            )
            return Trace(backwards=(row,))
        return asks(short_run=trace, locate_non_finite=located, read_source=Trace())(experiment)

    return list(examine(ask, NoOptions()))
