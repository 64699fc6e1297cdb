"""Steps that leave the weights as they were, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import USERS, line, run, source

from traindoctor.probing import NoOptions, Severity
from traindoctor.trace import StepRow, Trace
from traindoctor_probes.step_effect import examine

TEXT = (
    "def train_step(model):\n" + "    pass\n" * 18 + "    optimizer.step()\n"
    "    model.load_state_dict(checkpoint)\n"
)


def findings(trace: Trace) -> list[Any]:
    given = asks(short_run=trace, read_source=Trace(source=source(TEXT)))
    return list(examine(given, NoOptions()))


@pytest.mark.parametrize(
    ("step", "why", "where"),
    [
        ({"learning_rates": (0.0,)}, "the learning rate is 0", USERS.place.line),
        ({"num_gradients": 0}, "there are no gradients", 20),
        ({"num_zero_gradients": 4}, "the gradients are zero", 20),
        ({}, "the updates are too small for the weights' precision", 20),
    ],
)
def test_each_reason_is_told_from_the_others(step: dict[str, Any], why: str, where: int) -> None:
    (finding,) = findings(run(step={"num_changed": 0} | step))
    assert (finding.code, finding.severity) == ("TD405", Severity.CRITICAL)
    assert finding.title.endswith(why)
    assert finding.location.line == where


@pytest.mark.parametrize(("rate", "num_findings"), [(1.0, 0), (0.0, 1)])
def test_lbfgs_stops_at_its_tolerances(rate: float, num_findings: int) -> None:
    trace = run(
        optimizers=(replace(USERS, class_name="LBFGS"),),
        step={"num_changed": 0, "learning_rates": (rate,)},
    )
    assert len(findings(trace)) == num_findings


def test_weights_that_are_put_back_are_reported_at_the_line_that_does_it() -> None:
    steps = tuple(
        StepRow(index=i, num_held=4, num_changed=4, num_reverted=4 * (i > 0), place=line(20))
        for i in range(4)
    )
    (finding,) = findings(run(steps=steps, facts={"moved": ()}))
    assert finding.title.endswith("the weights are put back")
    assert finding.location.line == 21


def test_a_first_step_without_effect_is_a_warm_up() -> None:
    steps = tuple(
        StepRow(
            index=i, num_held=4, num_changed=4 * (i > 0), num_gradients=4, learning_rates=(i / 4,)
        )
        for i in range(4)
    )
    assert findings(run(steps=steps)) == []


def test_two_steps_are_too_few_to_say() -> None:
    assert findings(run(num_steps=2, step={"num_changed": 0})) == []


def test_of_two_optimizers_the_one_without_effect_is_an_error() -> None:
    steps = tuple(
        StepRow(index=i, optimizer=i % 2, num_held=4, num_changed=4 * (i % 2), num_gradients=4)
        for i in range(8)
    )
    (finding,) = findings(run(steps=steps))
    assert finding.severity is Severity.ERROR
