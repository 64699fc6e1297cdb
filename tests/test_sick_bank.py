"""Each planted fault is found as the one root cause, and each near miss is called healthy."""

from __future__ import annotations

import pytest
from tests.bank.build import FACTORIES, Edit, build
from tests.bank.edits import FAULTS, NEAR_MISSES
from tests.bank.edits.pairs import PAIRS
from tests.bank.examine import examine

BASES = tuple(
    Edit("base", program, (), factory)
    for program in ("mlp", "cnn", "gru", "transformer")
    for factory in FACTORIES
)


def parameters(edits: tuple[Edit, ...], every: int) -> list[object]:
    """Make one test of each edit; one in so many belongs to the short run."""
    marks: dict[bool, list[pytest.MarkDecorator]] = {True: [], False: [pytest.mark.slow]}
    return [
        pytest.param(edit, id=f"{edit.name}-{edit.factory}", marks=marks[index % every == 0])
        for index, edit in enumerate(edits)
    ]


@pytest.mark.parametrize("edit", parameters(FAULTS, every=71))
def test_a_planted_fault_is_the_one_root_cause(edit, tmp_path):
    found = examine(build(edit, tmp_path))

    assert found.roots == (edit.rule,), found
    assert found.points_well, found


@pytest.mark.parametrize("edit", parameters(PAIRS, every=16))
def test_two_planted_faults_are_both_root_causes_and_nothing_else_is(edit, tmp_path):
    found = examine(build(edit, tmp_path))

    assert found.names(edit), found
    assert found.points_well, found


@pytest.mark.parametrize("edit", parameters((*BASES, *NEAR_MISSES), every=59))
def test_a_near_miss_is_healthy(edit, tmp_path):
    found = examine(build(edit, tmp_path))

    assert (found.verdict, found.roots) == ("healthy", ()), found
