"""Of a watched run, weights that grew until the loss was no number tell that a rate is too high."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import SETUP, asks

from traindoctor.errors import ExperimentFailed
from traindoctor.probing import Confidence, Finding
from traindoctor.trace import (
    GradientRow,
    LossRow,
    OptimizerRow,
    ParameterRow,
    Place,
    StepRow,
    Trace,
    UpdateRow,
)
from traindoctor_probes.learning_rate import Options, examine

OUTER, INNER = Place("/user/train.py", 51, "fit"), Place("/user/sam.py", 12, "__init__")
SGD = OptimizerRow(
    index=0, class_name="SGD", num_held=2, learning_rates=(50.0,), weight_decays=(0.0,), place=OUTER
)


def watched(
    losses: tuple[float, ...] = (1.3, 3e5, math.inf),
    weights: tuple[float, ...] = (1.5, 3e5, math.nan),
    moved: tuple[float, ...] = (1.5, 3e5, math.nan),
    gradient: float = 0.03,
    optimizers: tuple[OptimizerRow, ...] = (SGD,),
    stepping: tuple[int, ...] = (0,),
) -> Trace:
    return Trace(
        setup=SETUP,
        parameters=(ParameterRow(name="w", num_elements=10),),
        optimizers=optimizers,
        steps=tuple(StepRow(index=n, optimizer=one) for n in range(3) for one in stepping),
        losses=tuple(LossRow(step=n, batch=n, value=value) for n, value in enumerate(losses)),
        gradients=(GradientRow(step=0, parameter="w", rms=gradient),),
        updates=tuple(
            UpdateRow(step=n, parameter="w", weight_rms=w, update_rms=u, share_changed=1.0)
            for n, (w, u) in enumerate(zip(weights, moved, strict=True))
        ),
    )


def found(run: Trace) -> list[Finding]:
    return list(examine(asks(short_run=run), Options()))


def test_the_rate_is_named_where_the_optimizer_is_built() -> None:
    (finding,) = found(watched())
    assert (finding.code, finding.location.line) == ("TD408", OUTER.line)
    assert finding.confidence is Confidence.LIKELY
    assert finding.title == (
        "The learning rate 50 is too high: 2 steps make the weights 2e+05 times as large"
    )
    assert {"TD102", "TD418"} <= set(finding.explains)


def test_of_an_optimizer_in_another_the_outer_one_is_named() -> None:
    outer = replace(SGD, class_name="SAM")
    inner = replace(SGD, index=1, place=INNER)
    (finding,) = found(watched(optimizers=(outer, inner), stepping=(1,)))
    assert finding.location.line == OUTER.line


@pytest.mark.parametrize(
    "other",
    [
        {"losses": (1.3, 3e5, 2e5)},  # it stays finite
        {"losses": (math.nan, math.nan, math.nan)},  # no number from the start
        {"losses": (1.3, math.nan, math.nan)},  # after one step: its size alone says nothing
        {"weights": (1.5, 3.0, 4.0)},  # a logarithm that left its domain
        {"weights": (1.5, 1e200, math.nan)},  # whose square is no number either
        {"moved": (0.5, 3e5, math.nan)},  # the first step was an ordinary one
        {"gradient": 3.0},  # a gradient that large makes any step large
        {"optimizers": (replace(SGD, weight_decays=(1.0,)),)},  # the decay multiplies the weights
        {"optimizers": (SGD, replace(SGD, index=1)), "stepping": (0, 1)},  # either may be
    ],
)
def test_what_else_makes_a_loss_no_number_is_not_judged(other: dict[str, Any]) -> None:
    with pytest.raises(ExperimentFailed):
        found(watched(**other))
