"""A scaler that is bypassed, called out of turn, or skips more than a scaler should."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks, raised
from tests.probes.running import line, run

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import HandlingRow, ScalerRow
from traindoctor_probes.gradient_scaler import examine

SCALE, STEP = line(18, "scaler.scale(loss).backward()"), line(20, "optimizer.step()")


def scaler(**facts: Any) -> ScalerRow:
    given = {"num_scaled": 12, "num_steps": 12, "num_updates": 12, "scales": (65536.0,) * 12}
    return ScalerRow(index=0, **{"place": SCALE, "step_place": STEP} | given | facts)


def handling(**facts: Any) -> HandlingRow:
    given = {"num_steps": 12, "num_attempts": 12, "place": STEP, "scale_place": SCALE} | facts
    return HandlingRow(optimizer=0, class_name="SGD", **given)


def findings(how: HandlingRow, row: ScalerRow | None = None, **tables: Any) -> list[Finding]:
    trace = run(handling=(how,), scalers=(row or scaler(),), **tables)
    return list(examine(asks(short_run=trace), NoOptions()))


def test_a_scaler_used_as_it_should_be_is_silent() -> None:
    assert findings(handling()) == []


def test_steps_past_the_scaler_are_reported_at_the_step() -> None:
    bare = scaler(num_steps=0, num_updates=0, scales=(65536.0,))
    (finding,) = findings(handling(num_scaled=12), bare, step={"gradient_norm": 2e4})
    assert (finding.code, finding.severity, finding.location.line) == ("TD414", "error", 20)
    assert "the scale of 6.55e+04" in finding.message
    assert {"TD203", "TD408", "TD418"} <= set(finding.explains)


def test_the_first_such_step_is_enough_where_the_scaler_then_refuses_to_be_updated() -> None:
    error = raised("AssertionError", "No inf checks were recorded prior to update.")
    (finding,) = findings(handling(num_scaled=1, num_steps=1), exceptions=(error,))
    assert (finding.severity, finding.location.line) == ("critical", 20)


def test_a_loss_that_was_scaled_and_not_used_is_reported_where_it_was_scaled() -> None:
    (finding,) = findings(handling(num_shrunk=12))
    assert (finding.code, finding.location.line) == ("TD414", 18)
    assert "not what is differentiated" in finding.title


def test_steps_that_the_scaler_would_have_skipped_are_reported_at_the_step() -> None:
    assert findings(handling(num_unguarded=12)) == []  # somebody looks for infinities himself
    (finding,) = findings(handling(num_unguarded=12, num_infinite=2))
    assert (finding.code, finding.location.line) == ("TD414", 20)
    assert "12 times past the scaler that had unscaled its gradients, 2 of them" in finding.message


def test_a_second_loss_without_scaling_is_somebodys_choice() -> None:
    assert findings(handling(num_shrunk=12), scaler(num_scaled=3)) == []


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("step() has already been called since the last update().", "never updated"),
        ("unscale_() has already been called on this optimizer since the last update().", "twice"),
        ("Attempted step but _scale is None.  This may indicate…", "scaled no loss"),
    ],
)
def test_what_the_scaler_raises_is_told_in_words(message: str, what: str) -> None:
    error = raised("RuntimeError", message, place=line(21, "scaler.step(optimizer)"))
    (finding,) = findings(handling(), exceptions=(error,))
    assert what in finding.title
    assert (finding.severity, finding.location.line) == ("critical", 21)


def test_steps_skipped_to_find_the_scale_are_its_warm_up() -> None:
    row = scaler(num_skipped=9, longest_skip=9, num_late=0, scales=(65536.0, 128.0))
    assert findings(handling(), row) == []


def test_one_late_step_in_ten_is_too_many() -> None:
    late = {"num_steps": 200, "num_late": 170, "num_skipped": 40, "longest_skip": 2}
    assert findings(handling(), scaler(num_late_skipped=17, **late)) == []
    (finding,) = findings(handling(), scaler(num_late_skipped=34, **late))
    assert "skips 20% of the steps" in finding.title
    assert "TD203" not in finding.explains


def test_a_scale_that_halves_and_halves_has_collapsed() -> None:
    row = scaler(num_skipped=40, longest_skip=40, num_steps=40, scales=(65536.0, 6e-8))
    (finding,) = findings(handling(), row)
    assert "collapsed" in finding.title
