"""Clipping that comes too early, too late or on scaled gradients, and clipping that dominates."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.probes.asking import asks, raised
from tests.probes.running import line, parameter, run, source

from traindoctor.errors import CannotJudge
from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import ClipRow, HandlingRow, ScalerRow, Trace
from traindoctor_probes import clipping_place, clipping_strength

CLIP = line(19, "clip_grad_norm_(model.parameters(), 1.0)")


def clip(norm: float = 0.5, limit: float = 1.0, count: int = 12, **facts: Any) -> ClipRow:
    given = {"optimizer": 0, "place": CLIP, "num_backwards_before": 1} | facts
    return ClipRow(count=count, norms=(norm,) * count, limits=(limit,) * count, **given)


def handling(class_name: str = "SGD", **facts: Any) -> HandlingRow:
    given = {"num_steps": 12, "num_attempts": 12, "num_clipped": 12, "place": line(20)} | facts
    return HandlingRow(optimizer=0, class_name=class_name, **given)


def findings(
    row: ClipRow, how: HandlingRow | None = None, trace: Trace | None = None, **tables: Any
) -> list[Finding]:
    given = trace or run(clips=(row,), handling=(how or handling(),), **tables)
    return examined(given)


def examined(trace: Trace, text: str = "") -> list[Finding]:
    """Return what is wrong with a line's place, else what is with its limit."""
    given = asks(short_run=trace, read_source=Trace(source=source(text)))
    misplaced = list(clipping_place.examine(given, NoOptions()))
    return misplaced or list(clipping_strength.examine(given, NoOptions()))


def test_occasional_clipping_is_what_clipping_is_for() -> None:
    row = clip()
    assert findings(ClipRow(**{**fields(row), "norms": (0.5,) * 10 + (40.0, 60.0)})) == []


def test_a_limit_far_below_every_gradient_shortens_each_step_of_plain_descent() -> None:
    (finding,) = findings(clip(norm=2.0, limit=0.01))
    assert (finding.code, finding.severity, finding.location.line) == ("TD210", "warning", 19)
    assert "2 to 2 where the limit is 0.01" in finding.message


def test_one_gradient_that_is_hardly_clipped_clears_a_short_run() -> None:
    row = clip(norm=2.0, limit=0.01)
    assert findings(ClipRow(**{**fields(row), "norms": (2.0,) * 11 + (0.05,)})) == []


def test_the_first_steps_of_a_long_run_do_not_count() -> None:
    row = clip(norm=0.5, limit=1.0, count=60)
    assert findings(ClipRow(**{**fields(row), "norms": (90.0,) * 20 + (0.5,) * 40})) == []


@pytest.mark.parametrize(
    ("limit", "severity"), [(0.05, None), (0.01, "info"), (0.002, "warning"), (1e-9, "warning")]
)
def test_adam_divides_the_size_out_so_that_only_extremes_are_suspicious(
    limit: float, severity: str | None
) -> None:
    found = findings(clip(norm=1.0, limit=limit), handling("AdamW"))
    assert [f.severity for f in found] == ([severity] if severity else [])


def test_gradients_that_drown_in_adams_eps_are_a_warning_at_any_coefficient() -> None:
    large = parameter("weight", num_elements=10**12)
    (finding,) = findings(
        clip(norm=1.0, limit=0.05), handling("Adam"), parameters=(large,), num_steps=12
    )
    assert finding.severity == "warning"


def test_a_declared_limit_is_judged_where_it_is_declared() -> None:
    trace = run(
        clips=(clip(norm=2.0, limit=0.01, place=line(0).__class__()),),
        handling=(handling(),),
        setup={"trains_by_hand": False},
    )
    text = 'def setup():\n    return {\n        "max_grad_norm": 0.01,\n    }\n'
    (finding,) = examined(trace, text)
    assert (finding.code, finding.location.line) == ("TD210", 3)


def test_scaled_gradients_are_cut_to_nothing() -> None:
    row = clip(norm=4e4, num_scaled=12)
    scaler = ScalerRow(index=0, num_scaled=12, num_steps=12, scales=(65536.0,))
    (finding,) = findings(row, scalers=(scaler,), step={"gradient_norm": 1.5e-5})
    assert (finding.code, finding.severity) == ("TD211", "error")
    assert "norms of 4e+04 where the limit is 1" in finding.message
    assert "TD210" in finding.explains


def test_a_limit_that_bears_the_scale_fits_scaled_gradients() -> None:
    row = clip(norm=4e4, limit=65536.0, num_scaled=12)
    scaler = ScalerRow(index=0, num_scaled=12, num_steps=12, scales=(65536.0,))
    assert findings(row, scalers=(scaler,)) == []


def test_gradients_that_are_not_there_yet_cannot_be_clipped() -> None:
    row = clip(norm=0.0, num_absent=12, num_backwards_before=0)
    (finding,) = findings(row, handling(num_clipped=0), step={"gradient_norm": 7.0})
    assert (finding.code, finding.severity) == ("TD211", "error")
    assert "before the backward pass" in finding.title
    assert "up to 7" in finding.message


def test_gradients_that_were_used_are_clipped_in_vain() -> None:
    (finding,) = findings(
        clip(num_used=12, limit=0.1), handling(num_clipped=0), step={"gradient_norm": 0.5}
    )
    assert "after the step" in finding.title


def test_a_misplaced_limit_that_nothing_exceeded_is_a_warning() -> None:
    (finding,) = findings(clip(num_used=12), handling(num_clipped=0), step={"gradient_norm": 0.5})
    assert finding.severity == "warning"


@pytest.mark.parametrize("limit", [math.inf, 1e9])
def test_a_call_that_only_measures_may_stand_anywhere(limit: float) -> None:
    row = clip(num_used=12, limit=limit)
    assert findings(row, handling(num_clipped=0), step={"gradient_norm": 0.5}) == []


def test_clipping_that_comes_in_time_elsewhere_is_enough() -> None:
    assert findings(clip(num_used=12), handling(num_clipped=12)) == []


def test_the_doctors_own_loop_clips_in_the_right_place() -> None:
    trace = run(clips=(clip(num_used=12),), handling=(handling(),), setup={"trains_by_hand": False})
    assert findings(clip(), trace=trace) == []


def test_values_clipped_before_any_gradient_make_torch_raise() -> None:
    error = raised("RuntimeError", "Expected !nested_tensorlist[0].empty() to be true", place=CLIP)
    (finding,) = findings(clip(), trace=run(steps=(), exceptions=(error,)))
    assert (finding.code, finding.severity, finding.location.line) == ("TD211", "critical", 19)


def test_what_a_broken_instrument_has_seen_is_not_judged() -> None:
    with pytest.raises(CannotJudge, match="boom"):
        findings(clip(), trace=run(facts={"broken_instruments": {"clipping": "boom"}}))


def fields(row: ClipRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}
