"""A loss without a graph is told with the operation that ended it; an evaluation is left alone."""

from __future__ import annotations

from dataclasses import replace

from tests.probes.asking import FACTORY, LINE, SETUP, asks, raised

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import BackwardRow, CutRow, LossRow, ParameterRow, StepRow, Trace
from traindoctor_probes.loss_gradient import NO_GRAPH, examine

CUT = CutRow(operation="item", place=LINE, parameters=("stem.weight",), is_output_cut=True)
SICK = Trace(
    setup=SETUP,
    parameters=(ParameterRow(name="stem.weight"),),
    losses=(LossRow(step=0, batch=0, value=1.0, requires_grad=False, source="loss_fn"),),
    cuts=(CUT,),
    facts={"loss_type": "float"},
)


def found(step: Trace) -> list[Finding]:
    return list(examine(asks(step), NoOptions()))


def test_the_operation_that_cut_the_loss_is_named_with_its_line() -> None:
    (finding,) = found(SICK)
    assert (finding.code, finding.location.line) == ("TD101", LINE.line)
    assert "`item`" in finding.title
    assert "stem.weight" in finding.message


def test_without_a_cut_the_factory_is_the_place() -> None:
    (finding,) = found(replace(SICK, cuts=()))
    assert finding.location.line == FACTORY.line


def test_a_step_of_the_users_whose_backward_refuses_the_loss_is_named() -> None:
    row = raised("RuntimeError", f"element 0 of tensors {NO_GRAPH}", phase="train_step")
    (finding,) = found(replace(SICK, losses=(), exceptions=(row,)))
    assert finding.quote.startswith("element 0")


def test_a_step_that_trained_may_return_a_number() -> None:
    backward = BackwardRow(index=0, step=0, batch=0)
    assert found(replace(SICK, backwards=(backward,))) == []
    by_hand = replace(SICK.losses[0], source="train_step")
    assert found(replace(SICK, losses=(by_hand,), steps=(StepRow(index=0),))) == []


def test_a_frozen_model_is_another_rules() -> None:
    frozen = ParameterRow(name="stem.weight", requires_grad=False)
    assert found(replace(SICK, parameters=(frozen,))) == []


def test_a_loss_with_a_gradient_is_silent() -> None:
    assert found(replace(SICK, losses=(LossRow(step=0, batch=0, value=1.0),))) == []
