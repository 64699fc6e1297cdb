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
    SourceRow,
    StepRow,
    Trace,
    UpdateRow,
)
from traindoctor_probes.learning_rate import Options, examine

OUTER, INNER = Place("/user/train.py", 51, "fit"), Place("/user/sam.py", 12, "__init__")
SGD = OptimizerRow(
    index=0, class_name="SGD", num_held=2, learning_rates=(50.0,), weight_decays=(0.0,), place=OUTER
)

CODE = """\
for group in optimizer.param_groups:
    group["lr"] = 1 - step / num_steps
"""


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
    source = Trace(source=(SourceRow(file="/user/train.py", text=CODE),))
    return list(examine(asks(short_run=run, read_source=source), Options()))


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


NETWORK = tuple(
    ParameterRow(name=name, num_elements=64, shape=(8, 8), weight_rms=0.2) for name in ("w", "v")
)
ADAM = replace(SGD, class_name="Adam", learning_rates=(1.0,))


def network(
    losses: tuple[float, ...] = (70.0, 71.0, 340.0, 94.0, 74.0),
    moved: float = 0.95,
    parameters: tuple[ParameterRow, ...] = NETWORK,
) -> Trace:
    """Return a training whose first step is of one size in all weights, which it adds to."""
    updates = [
        UpdateRow(
            step=n,
            parameter=row.name,
            weight_rms=moved + 0.3 * n,
            update_rms=moved / (1 + n),
            share_changed=1.0,
        )
        for n in range(len(losses))
        for row in parameters
    ]
    run = replace(watched(losses, optimizers=(ADAM,)), parameters=parameters)
    return replace(run, updates=tuple(updates))


def test_a_first_step_that_leaves_nothing_of_a_network_is_named_where_the_loss_rises() -> None:
    (finding,) = found(network())
    assert (finding.code, finding.confidence) == ("TD408", Confidence.LIKELY)
    assert finding.title == (
        "The learning rate 1 is too high: its first step leaves nothing of the weights, and the "
        "loss rises"
    )
    assert "The loss went from 70 to 340." in finding.message
    assert [place.line for place in finding.also_at] == [2]  # where the rate is set


@pytest.mark.parametrize(
    "other",
    [
        {"losses": (70.0, 71.0, 65.0, 60.0, 50.0)},  # it falls
        {"moved": 0.05},  # tables that begin near zero
        {"parameters": NETWORK[:1]},  # one layer
        {"parameters": tuple(replace(row, weight_rms=0.0) for row in NETWORK)},  # of zeros
        {"parameters": tuple(replace(row, shape=(64,)) for row in NETWORK)},  # no matrices
    ],
)
def test_a_first_step_that_may_be_meant_is_not_judged(other: dict[str, Any]) -> None:
    with pytest.raises(ExperimentFailed):
        found(network(**other))


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
