"""A hook's returned value is reported where it cuts the gradient or is no output at all."""

from __future__ import annotations

from dataclasses import replace

from tests.probes.asking import asks

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import GradientRow, HookRow, ParameterRow, Place, Trace
from traindoctor_probes.hook_results import examine

ROW = HookRow(
    hook="Observer.hook",
    place=Place("/user/train.py", 10, "hook", "def hook(module, args, output):"),
    module="encoder",
    num_calls=6,
    given=("Tensor",),
    num_replaced=6,
    replaced_by="Tensor",
    num_cut=6,
    return_place=Place("/user/train.py", 13, "hook", "return output"),
)
PARAMETERS = tuple(ParameterRow(name=name) for name in ("encoder.weight", "head.weight"))


def found(row: HookRow, is_lost: bool = True) -> list[Finding]:
    gradients = tuple(
        GradientRow(step=step, parameter=p.name, is_none=is_lost and p.name == "encoder.weight")
        for step in range(3)
        for p in PARAMETERS
    )
    trace = Trace(parameters=PARAMETERS, gradients=gradients, hooks=(row,))
    return list(examine(asks(short_run=trace), NoOptions()))


def test_a_detached_value_that_cuts_off_parameters_is_an_error_at_the_return() -> None:
    (finding,) = found(ROW)
    assert (finding.code, finding.severity) == ("TD804", Severity.ERROR)
    assert finding.location.line == 13
    assert "1 trainable parameter got no gradient" in finding.message


def test_a_detached_value_that_cuts_off_nothing_is_a_warning() -> None:
    (finding,) = found(ROW, is_lost=False)
    assert finding.severity is Severity.WARNING


def test_an_adapter_that_keeps_type_and_gradient_is_silent() -> None:
    assert found(replace(ROW, num_cut=0)) == []


def test_a_value_that_no_layer_takes_is_a_warning() -> None:
    (finding,) = found(replace(ROW, num_cut=0, replaced_by="ndarray"), is_lost=False)
    assert "a value (ndarray)" in finding.title


def test_a_hook_that_returns_nothing_is_silent() -> None:
    assert found(replace(ROW, num_replaced=0, num_cut=0, replaced_by="")) == []
