"""Weights that change between the optimizer's steps."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import line, run, source

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import Place, Trace, WriteRow
from traindoctor_probes.weight_writes import examine

WRITE = line(24, "mean.mul_(decay)")
LOOP = "def fit():\n" + "    pass\n" * 18 + "    optimizer.step()\n    p.data = q.data\n"


def findings(
    net: dict[str, Any] | None = None,
    ratios: tuple[float, ...] = (0.3,) * 5,
    step: dict[str, Any] | None = None,
    **at: Any,
) -> list[Finding]:
    every = {"steps": (1, 2, 3, 4, 5), "parameters": ("head.weight", "head.bias")}
    short = run(
        step={"num_elsewhere": 4} | (step or {}),
        writes=(WriteRow(**every | (net or {})),),
        facts={"moved_elsewhere": ratios},
    )
    line_by_line = run(writes=(WriteRow(operation="mul_", **every | {"place": WRITE} | at),))
    given = asks(short_run=short, locate_writes=line_by_line)
    return list(examine(given, NoOptions()))


def test_other_code_that_moves_the_weights_is_reported_at_its_line() -> None:
    (finding,) = findings()
    assert (finding.code, finding.severity, finding.location.line) == ("TD415", "warning", 24)
    assert "0.3 times as far away" in finding.message
    assert "by mul_ on line 24" in finding.title


def test_weights_that_stay_are_not_looked_at_again() -> None:
    assert list(examine(asks(short_run=run()), NoOptions())) == []


def test_what_is_put_back_to_the_step_before_is_another_rules() -> None:
    assert findings(step={"num_reverted": 4}) == []


def test_rounding_is_no_movement() -> None:
    assert findings(ratios=(1e-5,) * 5) == []


@pytest.mark.parametrize("pattern", ["mask", "bound", "rows", "part"])
def test_projections_are_meant(pattern: str) -> None:
    assert findings({"pattern": pattern}) == []


def test_what_is_projected_at_times_is_projected() -> None:
    rows = [
        WriteRow(pattern=pattern, steps=(1, 2, 3, 4), parameters=("head.weight",), factor=0.5)
        for pattern in ("scale", "rows")
    ]
    short = run(writes=tuple(rows), facts={"moved_elsewhere": (0.3,) * 8})
    assert list(examine(asks(short_run=short), NoOptions())) == []


def test_a_decay_by_hand_is_meant_and_a_factor_that_halves_is_not() -> None:
    assert findings({"pattern": "scale", "factor": 0.999}) == []
    assert len(findings({"pattern": "scale", "factor": 0.5})) == 1


def test_what_happens_now_and_then_is_a_reload() -> None:
    assert findings({"steps": (3,)}) == []


@pytest.mark.parametrize(
    "place", [line(9, "lookahead.step()"), Place("/a.py", 3, "step", "p.copy_")]
)
def test_an_optimizer_around_an_optimizer_is_one(place: Place) -> None:
    assert findings(place=place) == []


def test_of_a_watched_run_the_line_is_taken_from_the_source() -> None:
    short = run(
        step={"num_elsewhere": 4},
        writes=(WriteRow(steps=(1, 2, 3, 4, 5), parameters=("head.weight",)),),
        facts={"moved_elsewhere": (0.9,) * 5},
    )
    given = asks(short_run=short, read_source=Trace(source=source(LOOP)))
    (finding,) = examine(given, NoOptions())
    assert (finding.location.line, finding.confidence) == (21, "possible")
    assert "may be what writes to them" in finding.message
