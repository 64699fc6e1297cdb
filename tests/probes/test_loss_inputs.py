"""Probabilities where logits are asked for are told by what was measured of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import LINE, SETUP, asks

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CriterionRow, ModuleRow, Place, SourceRow, Trace
from traindoctor_probes.loss_inputs import examine

SOFTMAX = Place("/user/model.py", 20, "forward", "return F.softmax(x, dim=1)")
ROW = CriterionRow(
    function="cross_entropy",
    place=LINE,
    num_classes=5,
    input_minimum=0.05,
    input_maximum=0.6,
    row_sum_error=1e-7,
    column_sum_error=4.0,
    input_operation="softmax",
    input_place=SOFTMAX,
)


def found(**facts: Any) -> list[Finding]:
    step = Trace(setup=SETUP, criteria=(replace(ROW, **facts),))
    return list(examine(asks(step), NoOptions()))


def test_the_line_of_the_softmax_is_named_and_that_of_the_loss_beside_it() -> None:
    (finding,) = found()
    assert (finding.code, finding.location.line) == ("TD107", SOFTMAX.line)
    assert [place.line for place in finding.also_at] == [LINE.line]


def test_a_softmax_within_a_head_is_named_where_it_is_built() -> None:
    text = "self.head = nn.Sequential(\n    nn.Linear(8, 5),\n    nn.Softmax(1),\n)\n"
    built = Place("/user/model.py", 1, "__init__", "self.head = nn.Sequential(")
    module = ModuleRow(path="head.1", class_name="Softmax", place=built)
    called = Place("/user/model.py", 20, "forward", "return self.head(x)")
    row = replace(ROW, input_place=called, input_module="head.1")

    def line(source: str) -> int | None:
        step = Trace(setup=SETUP, criteria=(row,), modules=(ModuleRow(path=""), module))
        known = Trace(source=(SourceRow(file="/user/model.py", text=source),))
        (finding,) = examine(asks(step, read_source=known), NoOptions())
        return finding.location.line

    assert line(text) == 3
    assert line(text.replace("nn.Linear(8, 5)", "nn.Softmax(1)")) == LINE.line  # which of them?


def test_a_softmax_over_the_batch_explains_samples_that_are_mixed() -> None:
    (over_batch,) = found(row_sum_error=0.9, column_sum_error=1e-7)
    (over_classes,) = found()
    assert "TD207" in over_batch.explains
    assert "TD207" not in over_classes.explains


@pytest.mark.parametrize(
    ("facts", "given"),
    [
        ({"input_operation": "", "input_place": Place()}, "probabilities"),
        ({"row_sum_error": 0.9, "column_sum_error": 1e-7}, "a softmax over the batch"),
        ({"row_sum_error": 0.9, "input_operation": "sigmoid"}, "sigmoid outputs"),
        ({"function": "nll_loss"}, "probabilities"),
        ({"function": "ctc_loss"}, "probabilities"),
        ({"function": "ctc_loss", "row_sum_error": 4e-3}, "probabilities"),  # in bfloat16
        (
            {
                "function": "binary_cross_entropy_with_logits",
                "num_classes": None,
                "row_sum_error": None,
                "column_sum_error": None,
                "input_operation": "sigmoid",
            },
            "sigmoid outputs",
        ),
    ],
)
def test_each_kind_of_squashing_is_named(facts: dict[str, Any], given: str) -> None:
    (finding,) = found(**facts)
    assert f"is given {given}" in finding.title


@pytest.mark.parametrize(
    ("function", "remedy"),
    [
        ("cross_entropy", "Give the loss function the logits"),
        ("nll_loss", "Give `nll_loss` and `ctc_loss` log-probabilities"),
        ("ctc_loss", "Give `nll_loss` and `ctc_loss` log-probabilities"),
    ],
)
def test_the_remedy_is_what_the_loss_function_wants(function: str, remedy: str) -> None:
    (finding,) = found(function=function)
    assert [each.title for each in finding.remedies if each.recommended] == [remedy]


@pytest.mark.parametrize(
    "facts",
    [
        {"input_minimum": -3.0, "row_sum_error": 7.0, "input_operation": ""},
        {"function": "nll_loss", "input_minimum": -4.0, "input_operation": "log_softmax"},
        {"function": "ctc_loss", "input_minimum": -4.0, "input_operation": "log_softmax"},
        {"function": "ctc_loss", "num_classes": 1, "input_minimum": 0.0, "input_maximum": 0.0},
        {"function": "binary_cross_entropy", "input_operation": "sigmoid"},
        {"row_sum_error": 0.4, "column_sum_error": 3.0, "input_operation": "relu"},
        {"function": "mse_loss"},
    ],
)
def test_what_a_loss_function_wants_is_healthy(facts: dict[str, Any]) -> None:
    assert found(**facts) == []
