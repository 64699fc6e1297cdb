"""Weights that are not the same on all ranks."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.ranking import BACKWARD, STEP, alone, both, rank, step
from tests.probes.running import line

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import ClipRow, DigestRow, RankRow
from traindoctor_probes.rank_weights import examine

CLIP = line(23, "clip_grad_norm_(model.parameters(), 1.0)")


def findings(digests: tuple[DigestRow, ...], *ranks: RankRow) -> list[Finding]:
    trace = both(*(ranks or (rank(0), rank(1))), digests=digests)
    return list(examine(asks(compare_ranks=trace), NoOptions()))


def test_equal_ranks_are_healthy() -> None:
    assert findings((step(1, 0), step(2, 0), step(1, 1), step(2, 1))) == []


def test_clipping_on_one_rank_is_named_at_its_line() -> None:
    ranks = rank(0, clips=(ClipRow(place=CLIP, count=4, limits=(1.0,)),)), rank(1)
    (finding,) = findings((step(1, 0, gradients=(3, 3), after=(9, 9)), step(1, 1)), *ranks)
    assert (finding.code, finding.location.line) == ("TD902", CLIP.line)


@pytest.mark.parametrize(
    ("facts", "says", "where"),
    [
        ({"before": (8, 8), "after": (9, 9)}, "before the first step", STEP),
        ({"learning_rates": (0.2,), "after": (9, 9)}, "the learning rates are not", STEP),
        ({"after": (9, 9)}, "settings or state differ", STEP),
        (
            {"reduced": (8, 8), "gradients": (8, 8), "after": (9, 9)},
            "as the backward pass leaves them",
            BACKWARD,
        ),
    ],
)
def test_the_operation_that_differed_is_named(facts: dict[str, Any], says: str, where: Any) -> None:
    (finding,) = findings((step(1, 0), step(1, 1, **facts)))
    assert says in finding.message
    assert finding.location.line == where.line


def test_weights_written_between_two_steps_are_told_between_which() -> None:
    rows = (step(1, 0), step(2, 0), step(1, 1), step(2, 1, before=(8, 8), after=(9, 9)))
    (finding,) = findings(rows)
    assert "between step 1 and step 2" in finding.message


def test_models_that_are_trained_apart_on_purpose_are_healthy() -> None:
    rows = (step(1, 0), step(1, 1, before=(8, 8), after=(9, 9)))
    assert findings(rows, alone(rank(0)), alone(rank(1))) == []


def test_optimizers_of_other_parameters_are_not_compared() -> None:
    """As those of a sharded optimizer are."""
    assert findings((step(1, 0), step(1, 1, parameters=("other", "another"), after=(9, 9)))) == []
