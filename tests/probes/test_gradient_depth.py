"""Gradients that shrink from layer to layer until nothing is left."""

from __future__ import annotations

from tests.probes.asking import asks
from tests.probes.running import gradients, module, parameter, run

from traindoctor.probing import Finding
from traindoctor.trace import Trace, UpdateRow
from traindoctor_probes.gradient_depth import Options, examine

NAMES = [f"layers.{index}.weight" for index in range(6)]


def deep(rms: list[float], moved: list[float]) -> Trace:
    return run(
        parameters=[parameter(name) for name in NAMES],
        modules=[module(f"layers.{index}", order=index) for index in range(6)],
        rows=[
            row for name, value in zip(NAMES, rms, strict=True) for row in gradients(name, value)
        ],
        updates=tuple(
            UpdateRow(step=5, parameter=name, weight_rms=1.0, update_rms=value, share_changed=1.0)
            for name, value in zip(NAMES, moved, strict=True)
        ),
    )


def findings(trace: Trace) -> list[Finding]:
    return list(examine(asks(short_run=trace), Options()))


def test_a_fall_through_six_layers_that_stops_the_first_is_an_error() -> None:
    (finding,) = findings(
        deep([1e-9, 1e-8, 1e-6, 1e-5, 1e-4, 1e-2], [0, 0, 1e-6, 1e-4, 1e-3, 1e-2])
    )
    assert finding.code == "TD204"
    assert "layers.0.weight" in finding.message


def test_a_fall_that_an_adaptive_step_makes_up_for_is_left_alone() -> None:
    assert findings(deep([1e-9, 1e-8, 1e-6, 1e-5, 1e-4, 1e-2], [1e-2] * 6)) == []


def test_small_gradients_that_do_not_shrink_with_depth_are_left_alone() -> None:
    uneven = [1e-7, 1e-2, 1e-7, 1e-2, 1e-7, 1e-2]
    assert findings(deep(uneven, [0, 1e-2, 0, 1e-2, 0, 1e-2])) == []


def test_an_even_gradient_is_left_alone() -> None:
    assert findings(deep([1e-2] * 6, [1e-2] * 6)) == []
