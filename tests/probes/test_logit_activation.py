"""Activations between the logits and the loss function."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import line

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes.logit_activation import examine

RELU = line(21, "return F.relu(self.head(x))")


def findings(**facts: Any) -> list[Finding]:
    given: dict[str, Any] = {
        "function": "cross_entropy",
        "place": line(30, "loss = F.cross_entropy(logits, y)"),
        "num_classes": 4,
        "input_operation": "relu",
        "input_place": RELU,
        "input_minimum": 0.0,
        "input_maximum": 2.0,
        "input_share_zero": 0.5,
    }
    row = CriterionRow(**given | facts)
    return list(examine(asks(Trace(criteria=(row, row))), NoOptions()))


def test_a_relu_on_the_logits_is_found_once_at_its_own_line() -> None:
    (finding,) = findings()
    assert (finding.code, finding.location.line) == ("TD714", 21)
    assert "50% are exactly 0" in finding.message


def test_logits_of_a_binary_loss_may_be_negative_too() -> None:
    (finding,) = findings(function="binary_cross_entropy_with_logits", num_classes=None)
    assert finding.code == "TD714"


@pytest.mark.parametrize("operation", ["gelu", "silu"])
def test_smooth_relatives_of_relu_are_known_by_their_lowest_value(operation: str) -> None:
    (finding,) = findings(input_operation=operation, input_minimum=-0.16, input_share_zero=0.0)
    assert finding.code == "TD714"
    assert "exactly 0" not in finding.message


def test_a_linear_last_layer_is_healthy() -> None:
    assert findings(input_operation="", input_minimum=-2.0, input_share_zero=0.0) == []


def test_a_clamp_that_keeps_negative_logits_is_healthy() -> None:
    assert findings(input_operation="clamp", input_minimum=-10.0, input_share_zero=0.0) == []


def test_a_relu_in_front_of_a_regression_loss_is_nobodys_business_here() -> None:
    assert findings(function="mse_loss") == []
