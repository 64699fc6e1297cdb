"""The specimens are what they claim to be: they train, by a loop that knows no traindoctor."""

from __future__ import annotations

import math
from itertools import islice

import pytest
from tests.zoo.catalog import SPECIMENS, missing
from tests.zoo.facts import Program, endless, overfit
from tests.zoo.specimen import Specimen

NO_DESCENT = {"gan"}  # its two losses pull against each other


def cases(*, all_slow: bool = False) -> list[object]:
    return [
        pytest.param(
            specimen, id=specimen.name, marks=[pytest.mark.slow] * (all_slow or specimen.slow)
        )
        for specimen in SPECIMENS
        if not missing(specimen)
    ]


def test_every_name_is_unique() -> None:
    names = [specimen.name for specimen in SPECIMENS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("specimen", cases())
def test_three_steps_leave_the_loss_finite(specimen: Specimen) -> None:
    program = Program(specimen.name)
    losses = [program.step(batch) for batch in islice(endless(program.loader), 4)]
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("specimen", cases())
def test_an_epoch_brings_at_least_eight_batches_and_they_differ(specimen: Specimen) -> None:
    batches = list(Program(specimen.name).loader)
    assert len(batches) >= 8
    assert len({repr(batch) for batch in batches}) == len(batches)


@pytest.mark.parametrize("specimen", cases(all_slow=True))
def test_one_batch_can_be_learned(specimen: Specimen) -> None:
    if specimen.name in NO_DESCENT:
        pytest.skip("its loss is a contest, not a descent")
    runs = [overfit(specimen.name, lr) for lr in (None, 1e-2)]
    drops = [run["first"] - run["best"] for run in runs]
    assert max(drops) > 0.1 * abs(runs[0]["first"])
