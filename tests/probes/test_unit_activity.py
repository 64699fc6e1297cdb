"""Layers most of whose units do nothing."""

from __future__ import annotations

from typing import Any

from tests.probes.asking import asks
from tests.probes.running import line, module

from traindoctor.probing import Finding
from traindoctor.trace import LossRow, SignalRow, Trace
from traindoctor_probes.unit_activity import Options, examine


def layer(order: int = 0, **facts: Any) -> SignalRow:
    given: dict[str, Any] = {
        "operation": "relu",
        "place": line(10 + order, "x = F.relu(self.layer(x))"),
        "num_units": 32,
        "num_dead": 24,
        "num_values": 128,
    }
    return SignalRow(order=order, **given | facts)


def findings(*rows: SignalRow) -> list[Finding]:
    losses = tuple(LossRow(step=index, batch=index, value=1.0) for index in range(4))
    modules = (module("", is_users=True), module("library", class_name="BertModel"))
    run = Trace(signals=rows, losses=losses, modules=modules)
    return list(examine(asks(watch_signals=run), Options()))


def test_the_first_dead_layer_is_named_and_the_rest_with_it() -> None:
    (finding,) = findings(layer(2), layer(1, num_dead=3), layer(0))
    assert (finding.code, finding.location.line) == ("TD214", 10)
    assert [place.line for place in finding.also_at] == [12]
    assert finding.title.startswith("75% of the units of a relu layer are silent")


def test_saturation_is_called_that() -> None:
    (finding,) = findings(layer(operation="tanh", num_dead=32))
    assert "saturated" in finding.title


def test_half_of_a_layer_may_be_dead() -> None:
    assert findings(layer(num_dead=16)) == []


def test_narrow_layers_and_few_values_are_not_judged() -> None:
    assert findings(layer(num_units=4, num_dead=4), layer(1, num_values=32)) == []


def test_probabilities_of_rare_events_are_no_dead_units() -> None:
    assert findings(layer(operation="sigmoid", is_probability=True)) == []


def test_what_is_computed_beside_the_loss_is_not_judged() -> None:
    assert findings(layer(operation="sigmoid", has_gradient=False)) == []


def test_layers_that_compute_sums_are_none_that_can_die() -> None:
    assert findings(SignalRow(order=0, operation="linear", num_units=32, rms=1.0)) == []


def test_what_a_library_computes_inside_itself_is_not_judged() -> None:
    assert findings(layer(module="library")) == []
