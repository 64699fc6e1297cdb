"""Inputs must matter to a loss that labels matter to."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import FORWARD
from tests.probes.changing import changed

from traindoctor.experiments import ChangedBatch
from traindoctor.probing import Finding, Severity
from traindoctor.trace import Trace
from traindoctor_probes.input_use import NoOptions, examine

INPUTS = ("inputs permuted", "inputs of one sample")
SAME = {**dict.fromkeys(INPUTS, 2.0), "labels permuted": 2.0, "labels of one sample": 1.5}


def found(trace: Trace, new: Trace | None = None) -> list[Finding]:
    """Examine what is seen after a few steps, and of the new model where that is different."""

    def ask(experiment: ChangedBatch) -> Trace:
        return new if new is not None and experiment.num_steps == 0 else trace

    return list(examine(ask, NoOptions()))


def test_inputs_that_change_nothing_are_an_error_at_the_forward() -> None:
    (finding,) = found(changed(SAME, same=INPUTS))
    assert (finding.code, finding.severity) == ("TD108", Severity.ERROR)
    assert finding.location.line == FORWARD.line
    assert "for all it is 1.5" in finding.message


@pytest.mark.parametrize(
    ("losses", "same"),
    [
        (SAME, INPUTS[:1]),
        (SAME, ()),  # a head at zero: the loss is the same, its gradients are not
        ({**SAME, "inputs permuted": 2.1}, INPUTS),
        ({**SAME, "labels of one sample": 2.0}, INPUTS),  # the labels do not matter either
        ({}, ()),  # no labels in the batch
    ],
)
def test_inputs_that_matter_are_healthy(losses: Any, same: Any) -> None:
    assert found(changed(losses, same=same)) == []


def test_inputs_that_mattered_before_the_first_step_are_not_ignored() -> None:
    new = changed({**SAME, "inputs permuted": 2.1}, same=("inputs of one sample",))
    assert found(changed(SAME, same=INPUTS), new=new) == []
