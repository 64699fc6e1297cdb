"""Weights of low precision are judged by the elements that a step leaves as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import USERS, gradients, parameter, run, source

from traindoctor.probing import Finding, Severity
from traindoctor.trace import SchedulerRow, Trace, UpdateRow
from traindoctor_probes.low_precision_updates import NoOptions, examine

CAST = source("def setup():\n    model = Net().to(torch.bfloat16)\n")


def trained(share: float, *, share_zero: float = 0.0, **facts: Any) -> Trace:
    names = ("head.weight", "stem.weight")
    given = {"group": (0, 0), "dtype": "bfloat16", "weight_rms": 0.04} | facts
    updates = tuple(
        UpdateRow(step=step, parameter=n, weight_rms=0.04, update_rms=1e-5, share_changed=share)
        for step in range(6)
        for n in names
    )
    rows = [row for n in names for row in gradients(n, 1e-3, share_zero=share_zero)]
    return run(
        parameters=[parameter(n, **given) for n in names],
        rows=rows,
        step={"learning_rates": (1e-5,)},
        updates=updates,
    )


def found(trace: Trace) -> list[Finding]:
    return list(examine(asks(short_run=trace, read_source=Trace(source=CAST)), NoOptions()))


def test_most_elements_that_stay_are_an_error_at_the_cast() -> None:
    (finding,) = found(trained(0.15))
    assert (finding.code, finding.severity) == ("TD413", Severity.ERROR)
    assert finding.title.startswith("85% of the bfloat16 weights do not move")
    assert finding.location.line == 2
    needed = next(e for e in finding.evidence if e.label == "smallest update that is kept")
    assert needed.value == pytest.approx(0.04 / 512)


@pytest.mark.parametrize(
    "trace",
    [
        trained(0.9),
        trained(0.15, dtype="float32"),
        trained(0.15, share_zero=0.9),  # rows of a table that no token reached
        trained(0.15, group=None),  # an optimizer's copies in float32 are trained instead
        trained(0.15, requires_grad=False),
    ],
)
def test_weights_that_move_or_are_not_trained_are_healthy(trace: Trace) -> None:
    assert found(trace) == []


def test_an_optimizer_of_someones_own_may_round_as_it_likes() -> None:
    own = replace(trained(0.15), optimizers=(replace(USERS, class_name="AdamWBF16"),))
    assert found(own) == []


def test_the_first_steps_of_a_warm_up_do_not_count() -> None:
    planned = SchedulerRow(index=0, class_name="LambdaLR", optimizer=0, base_rate=1e-3)
    assert found(replace(trained(0.15), schedulers=(planned,))) == []
