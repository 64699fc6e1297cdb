"""A finite loss whose gradient is not."""

from __future__ import annotations

from dataclasses import replace

from tests.probes.asking import asks
from tests.probes.running import gradients, line, parameter, run

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import OperationRow, Trace, UpdateRow
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
