"""Decay is set beside what else moves the weights: the step, or the gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import USERS, gradients, line, parameter, run

from traindoctor.probing import Finding, Severity
from traindoctor.trace import ClipRow, Trace, UpdateRow
from traindoctor_probes.weight_decay import NoOptions, examine

RATE, WEIGHT = 1e-3, 0.1


def trained(decay: float, kind: str = "AdamW", update: float = 1e-3, **facts: Any) -> Trace:
    """Steps that move each element by `update` beside what decay does, at a gradient of 1e-3."""
    given = {"group": (0, 0), "weight_rms": WEIGHT} | facts
    shrinkage = RATE * decay * WEIGHT
    moved = (update**2 + shrinkage**2) ** 0.5
    updates = tuple(
        UpdateRow(
            step=step, parameter="head", weight_rms=WEIGHT, update_rms=moved, share_changed=1.0
        )
        for step in range(6)
    )
    trace = run(
        parameters=[parameter("head", **given)],
        rows=gradients("head", 1e-3),
        step={"learning_rates": (RATE,)},
        updates=updates,
    )
    return replace(trace, optimizers=(replace(USERS, class_name=kind, weight_decays=(decay,)),))


def found(trace: Trace) -> list[Finding]:
    return list(examine(asks(short_run=trace), NoOptions()))


def test_decay_apart_from_the_gradient_is_set_beside_the_rest_of_the_step() -> None:
    (finding,) = found(trained(50.0))  # shrinks by 5e-3 where the gradient moves 1e-3
    assert (finding.code, finding.severity) == ("TD412", Severity.WARNING)
    assert finding.location.line == 30
    assert finding.evidence[0].value == pytest.approx(5.0)


def test_decay_in_the_gradient_is_set_beside_the_gradient() -> None:
    (finding,) = found(trained(0.1, "Adam"))  # 1e-2 beside 1e-3
    assert finding.evidence[0].value == pytest.approx(10.0)


@pytest.mark.parametrize(("limit", "num_findings"), [(1e-3, 0), (0.5, 1)])
def test_a_gradient_that_clipping_made_small_is_not_decays_fault(
    limit: float, num_findings: int
) -> None:
    clip = ClipRow(place=line(20), optimizer=0, norms=(1.0,) * 6, limits=(limit,) * 6)
    assert len(found(replace(trained(0.1, "SGD"), clips=(clip,)))) == num_findings


@pytest.mark.parametrize(
    "trace",
    [
        trained(0.1),
        trained(0.01, "SGD"),
        trained(50.0, "Lion"),  # how it decays is not known
        trained(50.0, shape=(4,)),  # a bias
        trained(50.0, group=None),
    ],
)
def test_usual_decay_is_healthy(trace: Trace) -> None:
    assert found(trace) == []


def test_one_step_that_learns_more_than_it_forgets_is_enough() -> None:
    trace = trained(50.0)
    last = replace(trace.updates[-1], update_rms=1e-2)
    assert found(replace(trace, updates=(*trace.updates[:-1], last))) == []
