"""Models in which nothing requires a gradient, and optimizers that hold only such parameters."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import USERS, parameter, source

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import ModuleRow, OptimizerRow, ParameterRow, SetupRow, Trace
from traindoctor_probes.trainability import examine

FREEZE = "model = Net()\nmodel.requires_grad_(False)\n"


def frozen(name: str, **facts: Any) -> ParameterRow:
    return parameter(name, requires_grad=False, **facts)


def findings(
    *parameters: ParameterRow,
    text: str = FREEZE,
    optimizer: OptimizerRow = USERS,
    moved: tuple[str, ...] = (),
) -> list[Finding]:
    known = Trace(
        setup=SetupRow(has_optimizer=True),
        parameters=parameters,
        optimizers=(optimizer,),
        source=source(text),
        modules=(ModuleRow(path="", class_name="Net"),),
    )
    given = asks(read_source=known, short_run=Trace(facts={"moved": moved}))
    return list(examine(given, NoOptions()))


def test_a_frozen_model_is_critical_at_the_line_that_freezes_it() -> None:
    (finding,) = findings(frozen("body.weight"), frozen("head.weight"))
    assert (finding.code, finding.location.line) == ("TD212", 2)


def test_of_several_lines_that_freeze_none_is_blamed() -> None:
    (finding,) = findings(frozen("body.weight"), text=FREEZE + "p.requires_grad = False\n")
    assert finding.location.line != 2


def test_an_optimizer_over_what_is_frozen_trains_nothing() -> None:
    (finding,) = findings(frozen("head.weight"), parameter("body.weight", num_optimizers=0))
    assert "in the optimizer" in finding.title


@pytest.mark.parametrize(
    "parameters",
    [
        (frozen("trunk.weight"), parameter("adapter.weight")),
        (frozen("trunk.weight", num_optimizers=0), parameter("head.weight")),
    ],
)
def test_something_trainable_in_the_optimizer_is_enough(
    parameters: tuple[ParameterRow, ...],
) -> None:
    assert findings(*parameters) == []


def test_an_optimizer_that_serves_another_model_too_is_left_alone() -> None:
    other = OptimizerRow(index=0, class_name="Adam", num_strangers=3)
    assert findings(frozen("body.weight"), optimizer=other) == []


def test_weights_that_move_without_gradients_are_trained() -> None:
    assert findings(frozen("body.weight"), moved=("body.weight",)) == []


AVERAGE = """\
class EMA:
    def __init__(self, model, decay):
        self.model = model.eval()
        for p in self.model.parameters():
            p.requires_grad_(False)
"""


def test_a_helper_that_freezes_what_it_was_given_is_named_where_it_keeps_that() -> None:
    (finding,) = findings(frozen("body.weight"), text=AVERAGE)
    assert finding.location.line == 3
    assert [place.line for place in finding.also_at] == [5]
    assert finding.remedies[0].title == "Freeze a copy, not the model that trains"


@pytest.mark.parametrize(
    "text",
    [
        AVERAGE.replace("model.eval()", "copy.deepcopy(model).eval()"),
        AVERAGE.replace("class EMA", "class Net"),  # which is a module of the model's
        AVERAGE.replace("self.model.parameters()", "model.parameters()"),
    ],
)
def test_what_is_no_given_model_is_told_where_it_is_frozen(text: str) -> None:
    (finding,) = findings(frozen("body.weight"), text=text)
    assert finding.location.line == 5
    assert not finding.also_at
