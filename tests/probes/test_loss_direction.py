"""A loss function that is raised, or a likelihood that is lowered, is told; mixed pulls are not."""

from __future__ import annotations

import pytest
from tests.probes.asking import LINE, SETUP, asks

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CriterionRow, LossRow, OptimizerRow, Trace
from traindoctor_probes.loss_direction import examine


def row(function: str, sign: int | None) -> CriterionRow:
    return CriterionRow(function=function, place=LINE, value=1.0, gradient_sign=sign)


def found(*rows: CriterionRow, maximize: bool = False, num_optimizers: int = 1) -> list[Finding]:
    step = Trace(
        setup=SETUP,
        losses=(LossRow(step=0, batch=0, value=1.0),),
        criteria=rows,
        optimizers=tuple(
            OptimizerRow(index=n, class_name="SGD", maximize=maximize)
            for n in range(num_optimizers)
        ),
    )
    return list(examine(asks(step), NoOptions()))


@pytest.mark.parametrize(
    ("rows", "maximize", "title"),
    [
        ([row("cross_entropy", -1)], False, "Training raises `cross_entropy`"),
        ([row("log_likelihood", 1)], False, "Training lowers a log-likelihood"),
        ([row("mse_loss", 1)], True, "Training raises `mse_loss`"),
    ],
)
def test_the_wrong_direction_is_told(rows: list[CriterionRow], maximize: bool, title: str) -> None:
    (finding,) = found(*rows, maximize=maximize)
    assert (finding.code, finding.title) == ("TD106", title)


@pytest.mark.parametrize(
    "rows",
    [
        [row("cross_entropy", 1)],
        [row("log_likelihood", -1)],
        [row("cross_entropy", -1), row("cross_entropy", 1)],  # an adversarial term
        [row("gaussian_nll_loss", -1)],
        [row("kl_div", -1), row("mse_loss", 1)],
        [row("log_likelihood", 0)],  # advantages of both signs
        [row("cross_entropy", None)],  # an evaluation
        [],
    ],
)
def test_healthy_directions_are_silent(rows: list[CriterionRow]) -> None:
    assert found(*rows) == []


def test_an_optimizer_that_maximizes_a_negated_loss_is_healthy() -> None:
    assert found(row("cross_entropy", -1), maximize=True) == []


def test_several_optimizers_are_silent() -> None:
    assert found(row("cross_entropy", -1), num_optimizers=2) == []
