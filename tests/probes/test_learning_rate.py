"""A rate is called wrong only if another one was tried and learns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from tests.probes.asking import SETUP

from traindoctor.errors import CannotJudge
from traindoctor.experiments import OverfitBatch
from traindoctor.probing import Finding
from traindoctor.trace import (
    LossRow,
    OptimizerRow,
    ParameterRow,
    Place,
    Trace,
    UpdateRow,
)
from traindoctor_probes.learning_rate import Options, examine

BUILT = Place("/user/train.py", 50, "setup")
RATE = 1e-3


def ran(factor: float, **facts: Any) -> Trace:
    """Return the trace of one batch trained on at a multiple of the setup's rate."""
    given = {
        "learned": False,
        "course": "flat",
        "start": 2.0,
        "end": 2.0,
        "peak": 2.0,
        "progress": 0.0,
        "steps": 60,
        "learning_rate": RATE * factor,
        "rates_vary": False,
        "out_of_time": False,
    }
    return Trace(
        setup=SETUP,
        optimizers=(OptimizerRow(index=0, class_name="SGD", place=BUILT),),
        losses=(LossRow(step=0, batch=0, value=2.0),),
        facts={"overfit": given | facts},
    )


def learns(factor: float) -> Trace:
    return ran(factor, learned=True, course="reached", end=0.01, progress=0.99)


def found(
    own: Trace,
    others: Mapping[float, Trace] | None = None,
    *,
    ratio: float,
    losses: tuple[float, ...] = (2.0, 2.0, 2.0),
) -> list[Finding]:
    update = UpdateRow(step=0, parameter="w", weight_rms=1.0, update_rms=ratio, share_changed=1.0)
    short = Trace(
        parameters=(ParameterRow(name="w", num_elements=10),),
        losses=tuple(LossRow(step=n, batch=n, value=value) for n, value in enumerate(losses)),
        updates=(update,),
    )

    def ask(experiment: Any) -> Trace:
        if not isinstance(experiment, OverfitBatch):
            return short
        if experiment.factor == 1.0:
            return own
        return (others or {}).get(experiment.factor, ran(experiment.factor))

    return list(examine(ask, Options()))


@pytest.mark.parametrize("losses", [(2.0, 40.0, 9.0), (2.0, math.nan, math.nan)])
def test_large_steps_on_which_the_loss_rises_are_too_high(losses: tuple[float, ...]) -> None:
    own = ran(1, course="rising", end=30.0, peak=90.0, progress=-14.0)
    (finding,) = found(own, {0.1: learns(0.1)}, ratio=0.7, losses=losses)
    assert (finding.code, finding.location.line) == ("TD408", BUILT.line)
    assert finding.title == "The learning rate 0.001 is too high: at 0.0001 the loss falls"
    assert finding.remedies[0].after == "learning_rate = 0.0001"


def test_large_steps_on_which_one_batch_stalls_are_too_high_without_a_rise() -> None:
    own = ran(1, course="stuck", end=1.9, progress=0.05)
    (finding,) = found(own, {0.01: learns(0.01)}, ratio=0.3)
    assert finding.code == "TD408"
    assert found(own, {0.01: learns(0.01)}, ratio=0.03) == []


def test_a_tiny_rate_at_which_the_loss_creeps_for_long_is_too_low() -> None:
    own = ran(1, course="falling", learned=None, progress=0.01, steps=200)
    (finding,) = found(own, {1e3: learns(1e3)}, ratio=1e-5)
    assert finding.code == "TD409"


def test_a_rate_that_moves_nothing_is_too_low_if_a_thousandfold_learns() -> None:
    (finding,) = found(ran(1), {1e4: learns(1e4)}, ratio=1e-6)
    assert (finding.code, finding.severity.value) == ("TD409", "warning")


@pytest.mark.parametrize(
    ("own", "ratio", "losses"),
    [
        (learns(1), 0.5, (2.0, 1.9, 1.8)),  # large steps that learn: LBFGS
        (learns(1), 0.01, (2.0, 9.0, 2.0)),  # one bad batch
        (ran(1, course="falling", learned=None, progress=0.05), 1e-5, (2.0, 2.0)),  # fine-tuning
        (ran(1, steps=10), 1e-5, (2.0, 2.0)),  # too few steps to say
        (ran(1, rates_vary=True), 1e-6, (2.0, 2.0)),  # a schedule inside the user's own step
        (ran(1, learning_rate=0.0), 0.0, (2.0, 2.0)),
        (ran(1), 0.0, (2.0, 2.0)),  # nothing moves at all
    ],
)
def test_rates_that_suit_and_other_reasons_are_silent(
    own: Trace, ratio: float, losses: tuple[float, ...]
) -> None:
    everything_learns = {10.0**n: learns(10.0**n) for n in range(-3, 6) if n}
    assert found(own, everything_learns, ratio=ratio, losses=losses) == []


def test_a_rate_is_not_blamed_if_no_other_learns() -> None:
    assert found(ran(1), ratio=1e-6) == []


def test_a_step_that_sets_its_own_rate_is_not_compared() -> None:
    stubborn = ran(1, learned=True, end=0.01, progress=0.99)
    assert found(ran(1), {1e4: stubborn}, ratio=1e-6) == []


def test_without_time_to_try_another_rate_nothing_is_judged() -> None:
    with pytest.raises(CannotJudge, match="60 steps took 12 s"):
        found(ran(1, out_of_time=True, seconds=12.0), ratio=1e-6)
