"""What many processes have is folded into what tells them apart."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from traindoctor.trace import DigestRow
from traindoctor.trace.folding import FIELDS, Folding
from traindoctor_probes._ranks import differing


def rows(number: int, width: int, seed: int) -> list[DigestRow]:
    """Return a step of so many ranks whose bits are equal here and there, and missing elsewhere."""
    chance = random.Random(seed)
    names = tuple(f"p{index}" for index in range(width))
    columns = {
        field: [chance.choice([(1,), (1, 2), (None, 1), (1, 2, 3)]) for _ in names]
        for field in FIELDS
    }
    return [
        DigestRow(
            step=1,
            rank=rank,
            parameters=names,
            **{f: tuple(chance.choice(choices) for choices in columns[f]) for f in FIELDS},
        )
        for rank in range(number)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_what_differs_between_ranks_is_the_same_when_it_is_folded(seed: int) -> None:
    ranks = rows(9, 12, seed)
    one = Folding()
    flat = [row for each in ranks for row in one.added([each])]
    machines = [Folding() for _ in range(3)]  # a tree: machine by machine, and then all of them
    parts = [row for i, each in enumerate(ranks) for row in machines[i // 3].added([each])]
    tree = Folding().added(parts)
    for field in FIELDS:
        assert differing(tuple(flat), field) == differing(tuple(ranks), field)
        assert differing(tuple(tree), field) == differing(tuple(ranks), field)


def test_ranks_that_all_differ_hold_what_two_of_them_would() -> None:
    folding = Folding()
    ranks = [
        replace(rows(1, 50, seed)[0], before=tuple(range(seed, seed + 50))) for seed in range(9)
    ]
    folded = folding.added(ranks)
    assert sum(value is not None for row in folded for value in row.before) == 2 * 50
    assert len({id(row.before) for row in folded[2:]}) == 1


def test_ranks_that_are_equal_hold_one_tuple() -> None:
    row = rows(1, 50, 0)[0]
    folded = Folding().added([row, replace(row, rank=1, before=(*row.before,))])
    assert folded[0].before is folded[1].before
