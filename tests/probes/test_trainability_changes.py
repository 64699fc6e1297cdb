"""Freezing by the way is a warning at its line; what follows a schedule is information."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks

from traindoctor.errors import CannotJudge
from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import FlipRow, SourceRow, StepRow, Trace
from traindoctor_probes.trainability_changes import examine

FILE = "/user/train.py"
HELPER = """\
def accuracy(model, data):
    model.body.requires_grad_(False)
    return (model(data.x).argmax(1) == data.y).float().mean()
"""
FROZEN = FlipRow(
    step=8,
    num_held=6,
    num_frozen=2,
    num_trainable=4,
    frozen=("body.0.weight", "body.0.bias"),
)
UNFROZEN = FlipRow(step=8, num_held=6, num_unfrozen=2, num_trainable=6, unfrozen=("a", "b"))


def found(*flips: FlipRow, code: str = HELPER, **facts: Any) -> list[Finding]:
    steps = tuple(StepRow(index=n) for n in range(20))
    run = Trace(flips=flips, steps=steps)
    source = Trace(source=(SourceRow(file=FILE, text=code),))
    return list(examine(asks(long_run=run, read_source=source), NoOptions()))


def test_a_helper_that_freezes_is_a_warning_at_its_line() -> None:
    (finding,) = found(FROZEN)
    assert (finding.code, finding.severity) == ("TD216", Severity.WARNING)
    assert (finding.location.line, finding.confidence) == (2, Confidence.CERTAIN)
    assert finding.title == "2 parameters are frozen after step 8"
    assert "body.*.weight, body.*.bias" in finding.message or "body.0.weight" in finding.message


def test_of_several_lines_those_that_build_come_last_and_it_is_likely() -> None:
    code = f"def build():\n    model.stem.requires_grad_(False)\n{HELPER}"
    (finding,) = found(FROZEN, code=code)
    assert (finding.location.line, finding.confidence) == (4, Confidence.LIKELY)


@pytest.mark.parametrize(
    "code",
    [
        "def train():\n  for epoch in range(9):\n    if epoch == 3:\n"
        "      for p in m.parameters():\n        p.requires_grad = False\n",
        "def freeze_encoder(model):\n  model.encoder.requires_grad_(False)\n",
        "def train():\n  for i in range(9):\n    if step > warmup_steps:\n"
        "      m.requires_grad_(False)\n",
    ],
)
def test_a_schedule_that_freezes_is_information(code: str) -> None:
    assert [finding.severity for finding in found(FROZEN, code=code)] == [Severity.INFO]


def test_unfreezing_is_information() -> None:
    (finding,) = found(UNFROZEN)
    assert finding.severity is Severity.INFO
    assert finding.title == "2 parameters are unfrozen after step 8"


def test_each_optimizer_is_told_once_by_its_first_freezing() -> None:
    other = FlipRow(step=3, optimizer=1, num_held=2, num_frozen=1, frozen=("head.weight",))
    told = found(UNFROZEN, FROZEN, FROZEN, other)
    assert [finding.title for finding in told] == [
        "2 parameters are frozen after step 8",
        "1 parameter is frozen after step 3",
    ]


def test_a_run_in_which_nothing_changes_is_silent() -> None:
    assert found() == []


def test_without_steps_nothing_is_judged() -> None:
    with pytest.raises(CannotJudge):
        list(examine(asks(long_run=Trace()), NoOptions()))
