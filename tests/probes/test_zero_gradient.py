"""Gradients that are exactly zero, and the operation that makes them so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.probes.asking import asks
from tests.probes.running import gradients, line, parameter, run

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import OperationRow, Trace
from traindoctor_probes.zero_gradient import examine

TIMES_ZERO = OperationRow(
    operation="Mul",
    direction="backward",
    kind="zero",
    place=line(12, "x = x + scale * self.body(x)"),
    input_shapes=((8, 4), ()),
    input_minimum=0.0,
    input_maximum=0.0,
    parameters=("body.weight",),
)
RUN = run(
    parameters=[parameter("body.weight"), parameter("head.weight")],
    rows=gradients("body.weight", 0.0) + gradients("head.weight", 0.1),
)


def findings(operation: OperationRow, trace: Trace = RUN) -> list[Finding]:
    located = Trace(operations=(operation,))
    return list(examine(asks(short_run=trace, locate_zero_gradient=located), NoOptions()))


def test_a_constant_zero_factor_is_reported_at_its_line() -> None:
    (finding,) = findings(TIMES_ZERO)
    assert (finding.code, finding.location.line) == ("TD202", 12)
    assert "body.weight" in finding.message


def test_a_dead_relu_is_reported() -> None:
    assert [f.code for f in findings(replace(TIMES_ZERO, operation="Relu"))] == ["TD202"]


@pytest.mark.parametrize(
    "healthy",
    [
        replace(TIMES_ZERO, input_shapes=((), ())),  # a loss term with weight 0
        replace(TIMES_ZERO, input_shapes=((8, 4), (8, 1))),  # the mask of an expert without tokens
        replace(TIMES_ZERO, note="the other factor is trained"),
        replace(TIMES_ZERO, operation="Softmax"),  # attention to one key
        replace(TIMES_ZERO, place=line(0).__class__()),  # inside a library
    ],
)
def test_zeros_that_are_meant_so_are_left_alone(healthy: OperationRow) -> None:
    assert findings(healthy) == []


def test_zeros_of_the_first_steps_are_left_alone() -> None:
    rows = gradients("body.weight", 0.0, 2) + [
        replace(row, step=row.step + 2) for row in gradients("body.weight", 0.1, 4)
    ]
    assert findings(TIMES_ZERO, replace(RUN, gradients=tuple(rows))) == []


def test_a_loss_at_zero_has_no_gradient_to_give() -> None:
    losses = tuple(replace(row, value=0.0) for row in RUN.losses)
    assert findings(TIMES_ZERO, replace(RUN, losses=losses)) == []
