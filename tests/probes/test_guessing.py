"""A watched run whose loss never came below what guessing costs is not called healthy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from tests.probes.asking import SETUP, asks

from traindoctor.errors import CannotJudge
from traindoctor.trace import BackwardRow, CriterionRow, PulseRow, Trace
from traindoctor_probes.loss_course import Options, examine

FIVE = CriterionRow(function="cross_entropy", num_classes=5, value=1.7, target_dtype="int64")
LN_5 = math.log(5)
FLAT = (1.7, *[LN_5 + 0.005 * (-1) ** n for n in range(99)])
FALLING = tuple(LN_5 * (1 - 0.002 * n) for n in range(100))
PAIRS = tuple(math.log(2) + 0.001 * (-1) ** n for n in range(100))


def judged(losses: Sequence[float], *criteria: CriterionRow, kind: str = "script") -> Any:
    rows = [
        PulseRow(first_step=n, last_step=n, loss=loss, num_batches=1, num_backwards=1)
        for n, loss in enumerate(losses)
    ]
    backward = BackwardRow(index=0, step=0, batch=0)
    setup = SETUP.__class__(kind=kind, has_train_loop=True)
    run = Trace(setup=setup, pulses=tuple(rows), backwards=(backward,))
    ask = asks(Trace(criteria=criteria), long_run=run, read_source=Trace())
    return list(examine(ask, Options()))


@pytest.mark.parametrize(("losses", "criteria"), [(FLAT, (FIVE,)), (PAIRS, ())])
def test_a_loss_that_stays_at_guessing_leaves_the_verdict_open(
    losses: Sequence[float], criteria: tuple[CriterionRow, ...]
) -> None:
    with pytest.raises(CannotJudge, match="nothing is learned yet") as raised:
        judged(losses, *criteria)
    assert raised.value.leaves_open


@pytest.mark.parametrize(
    ("losses", "criteria"),
    [
        (FALLING, (FIVE,)),
        (FLAT[:30], (FIVE,)),  # so few steps say nothing
        ((1.7, *[3.0] * 99), (FIVE,)),  # a loss that is more than its loss function
        (FLAT, ()),  # not known to compare two
        ((*[0.8] * 30, *PAIRS[:70]), ()),
        (tuple(loss * 2 for loss in FLAT), (FIVE,)),
    ],
)
def test_other_courses_are_healthy(
    losses: Sequence[float], criteria: tuple[CriterionRow, ...]
) -> None:
    assert judged(losses, *criteria) == []


def test_a_setup_of_check_is_judged_by_its_batch() -> None:
    assert judged(FLAT, FIVE, kind="setup") == []
