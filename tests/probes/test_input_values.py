"""NaN and infinities that go in are told; masks, and markers that do no harm, are not."""

from __future__ import annotations

import math

import pytest
from tests.probes.asking import SETUP, asks, batch, leaf

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import GradientRow, LossRow, Trace
from traindoctor_probes.input_values import examine


def found(loss: float = math.nan, num_bad: int = 0, **facts: int) -> list[Finding]:
    read = Trace(setup=SETUP, batches=(batch(leaf("x", 8, 3), leaf("mask", 8, 3, **facts)),))
    step = Trace(
        losses=(LossRow(step=0, batch=0, value=loss),),
        gradients=(GradientRow(step=0, parameter="w", num_not_finite=num_bad),),
    )
    return list(examine(asks(step, read_batches=read), NoOptions()))


@pytest.mark.parametrize("facts", [{"num_nan": 3}, {"num_infinite": 2}])
def test_a_value_that_ruins_the_loss_is_critical(facts: dict[str, int]) -> None:
    (finding,) = found(**facts, first_bad_sample=5)
    assert (finding.code, finding.severity) == ("TD505", Severity.CRITICAL)
    assert "first in sample 5" in finding.message


def test_a_value_that_ruins_only_gradients_is_critical_too() -> None:
    (finding,) = found(loss=1.0, num_bad=1, num_nan=1)
    assert finding.severity is Severity.CRITICAL


def test_a_marker_that_the_loss_leaves_out_is_information() -> None:
    (finding,) = found(loss=1.0, num_nan=3)
    assert finding.severity is Severity.INFO


def test_minus_infinity_alone_is_a_mask() -> None:
    assert found(num_infinite=9, num_negative_infinite=9) == []


def test_finite_values_are_silent() -> None:
    assert found() == []
