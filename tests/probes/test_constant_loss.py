"""One loss for all batches is told, unless it has a slope or rests at its floor."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.probes.asking import LINE, SETUP, asks, batch

from traindoctor.errors import CannotJudge
from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CriterionRow, GradientRow, LossRow, StepRow, Trace
from traindoctor_probes.constant_loss import examine

ENTROPY = CriterionRow(function="cross_entropy", place=LINE, value=1.1, target_dtype="int64")


def run(*values: float, rms: float = 0.0, digests: str = "abcdef") -> Trace:
    return Trace(
        setup=SETUP,
        batches=tuple(batch(index=n, digest=digest) for n, digest in enumerate(digests)),
        losses=tuple(LossRow(step=n, batch=n, value=value) for n, value in enumerate(values)),
        steps=tuple(StepRow(index=n) for n in range(len(values))),
        gradients=(GradientRow(step=0, parameter="w", rms=rms),),
    )


def found(trace: Trace, criterion: CriterionRow = ENTROPY) -> list[Finding]:
    return list(examine(asks(Trace(criteria=(criterion,)), short_run=trace), NoOptions()))


@pytest.mark.parametrize("value", [0.0, 0.693147])
def test_one_number_for_different_batches_is_told(value: float) -> None:
    (finding,) = found(run(*[value] * 6))
    assert (finding.code, finding.location.line) == ("TD103", LINE.line)
    assert "gave 1.1" in finding.message


def test_losses_that_differ_are_healthy() -> None:
    assert found(run(1.0, 1.0, 1.0, 1.0, 1.001)) == []


def test_the_same_batch_again_and_again_says_nothing() -> None:
    assert found(run(*[1.0] * 6, digests="aaaaaa")) == []


def test_a_constant_value_with_a_slope_is_healthy() -> None:
    assert found(run(*[0.0] * 6, rms=1e-3)) == []


def test_a_loss_at_its_floor_is_healthy() -> None:
    assert found(run(*[0.0] * 6), replace(ENTROPY, function="mse_loss", value=0.0)) == []


def test_few_losses_are_not_judged() -> None:
    with pytest.raises(CannotJudge):
        found(run(1.0, 1.0))
