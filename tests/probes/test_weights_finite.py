"""Weights that a step ruined are told from weights that a loss or a gradient ruined."""

from __future__ import annotations

import math

import pytest
from tests.probes.asking import SETUP, asks

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import (
    GradientRow,
    LossRow,
    OptimizerRow,
    Place,
    StepRow,
    Trace,
    UpdateRow,
)
from traindoctor_probes.weights_finite import examine

BUILT = Place("/user/train.py", 50, "setup")


def found(loss: float = 1.0, num_bad_gradients: int = 0, num_ruined: int = 4) -> list[Finding]:
    run = Trace(
        setup=SETUP,
        optimizers=(OptimizerRow(index=0, class_name="AdamW", place=BUILT),),
        losses=(LossRow(step=0, batch=0, value=loss),),
        steps=(StepRow(index=0),),
        gradients=(
            GradientRow(step=0, parameter="w", share_zero=0.5, num_not_finite=num_bad_gradients),
        ),
        updates=(
            UpdateRow(
                step=0,
                parameter="w",
                weight_rms=math.nan,
                update_rms=math.nan,
                share_changed=1.0,
                num_not_finite=num_ruined,
            ),
        ),
    )
    return list(examine(asks(short_run=run), NoOptions()))


def test_a_step_on_finite_gradients_is_the_optimizers_fault() -> None:
    (finding,) = found()
    assert (finding.code, finding.location.line) == ("TD418", BUILT.line)
    assert "eps" in finding.mechanism
    assert {"TD102", "TD203"} <= set(finding.explains)


@pytest.mark.parametrize("facts", [{"loss": math.nan}, {"num_bad_gradients": 2}])
def test_what_came_before_the_step_is_not_explained_by_it(facts: dict[str, float]) -> None:
    (finding,) = found(**facts)  # type: ignore[arg-type]
    assert "TD102" not in finding.explains
    assert "not" in finding.message


def test_finite_weights_are_silent() -> None:
    assert found(num_ruined=0) == []
