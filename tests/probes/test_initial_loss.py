"""A first loss far above ln C is told, where the user's own layer makes it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.probes.asking import LINE, SETUP, asks

from traindoctor.probing import Confidence, Finding
from traindoctor.trace import CriterionRow, LossRow, ModuleRow, ParameterRow, Trace
from traindoctor_probes.initial_loss import Options, examine

ROW = CriterionRow(
    function="cross_entropy", place=LINE, value=9.0, num_classes=3, target_dtype="int64"
)


def found(row: CriterionRow = ROW, is_users: bool = True) -> list[Finding]:
    step = Trace(
        setup=SETUP,
        parameters=(ParameterRow(name="head.weight", module="head"),),
        modules=(
            ModuleRow(path="", order=0, is_users=is_users),
            ModuleRow(path="head", order=1, place=LINE),
        ),
        losses=(LossRow(step=0, batch=0, value=row.value or 0.0),),
        criteria=(row,),
    )
    return list(examine(asks(step), Options()))


def test_a_loss_far_above_that_of_a_guess_is_likely_off() -> None:
    (finding,) = found()
    assert (finding.code, finding.confidence) == ("TD104", Confidence.LIKELY)
    assert finding.location.line == LINE.line
    assert finding.evidence[0].expected == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    "facts",
    [
        {"value": 2.0},
        {"value": 2.25},  # what a residual network of torch's own initialisation starts at
        {"label_smoothing": 0.1},
        {"has_weight": True},
        {"input_has_cosines": True},
        {"target_dtype": "float32"},
        {"function": "mse_loss"},
    ],
)
def test_other_losses_and_guesses_are_silent(facts: dict[str, object]) -> None:
    assert found(replace(ROW, **facts)) == []  # type: ignore[arg-type]


def test_what_a_library_initialises_is_its_affair() -> None:
    assert found(is_users=False) == []
