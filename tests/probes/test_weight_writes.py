"""Weights that change between the optimizer's steps."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import line, run

from traindoctor.errors import ExperimentFailed
from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import Place, WriteRow
from traindoctor_probes.weight_writes import examine

WRITE = line(24, "mean.mul_(decay)")


def findings(
    step: dict[str, Any] | None = None, ratios: tuple[float, ...] = (0.3,) * 5, **facts: Any
) -> list[Finding]:
    given: dict[str, Any] = {
        "operation": "mul_",
        "place": WRITE,
        "count": 20,
        "steps": (1, 2, 3, 4, 5, 6),
        "parameters": ("head.weight", "head.bias"),
    }
    short = run(step={"num_elsewhere": 4} if step is None else step)
    again = run(writes=(WriteRow(**given | facts),), facts={"moved_elsewhere": ratios})
    return list(examine(asks(short_run=short, locate_writes=again), NoOptions()))


def test_other_code_that_moves_the_weights_is_reported_at_its_line() -> None:
    (finding,) = findings()
    assert (finding.code, finding.severity, finding.location.line) == ("TD415", "warning", 24)
    assert "0.3 times as far" in finding.message


def test_weights_that_stay_are_not_looked_at_again() -> None:
    trace = run()
    assert list(examine(asks(short_run=trace), NoOptions())) == []


def test_what_is_put_back_to_the_step_before_is_another_rules() -> None:
    assert findings(step={"num_elsewhere": 4, "num_reverted": 4}) == []


def test_rounding_is_no_movement() -> None:
    assert findings(ratios=(1e-5,) * 5) == []


@pytest.mark.parametrize("pattern", ["mask", "bound", "rows", "part"])
def test_projections_are_meant(pattern: str) -> None:
    assert findings(pattern=pattern) == []


def test_a_decay_by_hand_is_meant_and_a_factor_that_halves_is_not() -> None:
    assert findings(pattern="scale", factor=0.999) == []
    assert len(findings(pattern="scale", factor=0.5)) == 1


def test_what_happens_now_and_then_is_a_reload() -> None:
    assert findings(steps=(3,)) == []


@pytest.mark.parametrize(
    "place", [line(9, "lookahead.step()"), Place("/a.py", 3, "step", "p.copy_")]
)
def test_an_optimizer_around_an_optimizer_is_one(place: Place) -> None:
    assert findings(place=place) == []


def test_a_watched_run_cannot_tell_who_it_was() -> None:
    with pytest.raises(ExperimentFailed):
        list(examine(asks(short_run=run(step={"num_elsewhere": 4})), NoOptions()))
