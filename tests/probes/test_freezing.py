"""What is frozen in name only is told from what is frozen, and from what is not meant to be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.probes.asking import LINE, SETUP, asks
from torch import nn

from traindoctor.experiments import Lab, ShortRun
from traindoctor.instruments.anatomy import false_flag
from traindoctor.probing import Confidence, Finding, Severity
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import (
    GradientRow,
    ModuleRow,
    OptimizerRow,
    ParameterRow,
    SourceRow,
    Trace,
)
from traindoctor_probes.freezing import NoOptions, examine

SOURCE = SourceRow(file="/user/train.py", text="\n\nmodel.encoder.requires_grad = False\n")


def run(encoder: dict[str, Any], **weight: Any) -> Trace:
    given = {"num_optimizers": 1} | weight
    return Trace(
        setup=SETUP,
        parameters=(
            ParameterRow(name="encoder.stem.weight", module="encoder.stem", **given),
            ParameterRow(name="encoder_head.weight", module="encoder_head", num_optimizers=1),
        ),
        modules=(
            ModuleRow(path="", num_calls=3, num_calls_training=3, num_trainable=2),
            ModuleRow(path="encoder", num_trainable=1, call_place=LINE, **encoder),
            ModuleRow(path="encoder.stem", num_trainable=1, num_calls=3),
        ),
        optimizers=(OptimizerRow(index=0, class_name="AdamW"),),
        gradients=(GradientRow(step=0, parameter="encoder.stem.weight", rms=1.0),),
    )


def found(short: Trace) -> list[Finding]:
    return list(
        examine(asks(None, short_run=short, read_source=Trace(source=(SOURCE,))), NoOptions())
    )


def test_an_attribute_of_a_module_freezes_nothing_and_is_a_warning_at_its_line() -> None:
    (finding,) = found(run({"false_flag": "requires_grad"}))
    assert (finding.code, finding.severity, finding.confidence) == (
        "TD215",
        Severity.WARNING,
        Confidence.CERTAIN,
    )
    assert finding.location.line == 3
    assert finding.title == "1 parameter is frozen in name only, and trained"
    assert "encoder_head" not in finding.message


def test_a_part_that_rests_is_information() -> None:
    calls = {"num_calls": 3, "num_calls_without_grad": 3}
    (finding,) = found(run(calls))
    assert (finding.severity, finding.confidence) == (Severity.INFO, Confidence.POSSIBLE)
    assert finding.location.line == LINE.line
    assert found(run(calls | {"num_calls_training": 3})) == []  # TD206's
    assert found(run(calls | {"num_calls": 6})) == []  # with gradients on, too


@pytest.mark.parametrize(
    "short",
    [
        run({}),
        run({"false_flag": "requires_grad"}, requires_grad=False),
        run({"false_flag": "requires_grad"}, num_optimizers=0),
    ],
)
def test_what_is_frozen_or_in_no_optimizer_is_healthy(short: Trace) -> None:
    assert found(short) == []


@pytest.mark.parametrize(
    ("name", "is_alike"),
    [
        ("requires_grad", True),
        ("require_grad", True),
        ("requires_gradient", True),
        ("requires_grads", True),
        ("requires_grad_", True),
        ("retain_grad", False),
        ("requires_attn_grad", False),
        ("training", False),
    ],
)
def test_names_that_read_like_it(name: str, is_alike: bool) -> None:
    layer = nn.Linear(2, 2)
    layer.__dict__[name] = False
    assert false_flag(layer) == (name if is_alike else "")
    layer.__dict__[name] = True
    assert false_flag(layer) == ""


@pytest.mark.parametrize(("flag", "number"), [("require_grad", 1), ("requires_grad", 0)])
def test_of_a_real_model(flag: str, number: int) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    for parameter in model[0].parameters():
        setattr(parameter, flag, False)
    made = TrainingSetup(
        model=model,
        loader=[(torch.randn(4, 2), torch.zeros(4, 1))] * 3,
        loss_fn=nn.functional.mse_loss,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
    )
    findings = found(Lab(made).perform(ShortRun()))
    assert [finding.evidence[1].value for finding in findings] == [2] * number
