"""Tensors on two devices are told with who is where."""

from __future__ import annotations

import pytest
from tests.probes.asking import LINE, SETUP, asks, batch, leaf, raised, stopped

from traindoctor.errors import CannotJudge
from traindoctor.probing import NoOptions
from traindoctor.trace import ParameterRow, Place, Trace
from traindoctor_probes.tensor_devices import examine

BUILT = Place("/user/model.py", 5, "Net.__init__")
ON_GPU = ParameterRow(name="stem.weight", device="cuda:0")
LEFT = ParameterRow(name="head.weight", device="cpu", place=BUILT)


@pytest.mark.parametrize(
    "message",
    [
        "Expected all tensors to be on the same device, but found at least two devices, cuda:0 …",
        "Input type (torch.cuda.HalfTensor) and weight type (torch.HalfTensor) should be the same",
        "Tensor on device meta is not on the expected device cpu!",
        "Input and hidden tensors are not at the same device, found input tensor at cuda:0 …",
    ],
)
def test_the_parameters_that_stayed_behind_are_named(message: str) -> None:
    step = stopped(
        raised("RuntimeError", message),
        batch(leaf("x", 4, 3, device="cuda:0")),
        parameters=(ON_GPU, ON_GPU, LEFT),
    )
    (finding,) = examine(asks(step), NoOptions())
    assert (finding.code, finding.location.line) == ("TD006", LINE.line)
    assert [place.line for place in finding.also_at] == [BUILT.line]
    assert "head.weight" in {item.value for item in finding.evidence}


def test_a_batch_that_stayed_behind_is_named() -> None:
    row = raised(
        "RuntimeError", "Expected all tensors to be on the same device", phase="train_loop"
    )
    step = stopped(row, batch(leaf("x", 4, 3)), parameters=(ON_GPU,))
    (finding,) = examine(asks(step), NoOptions())
    assert "`x` on cpu" in finding.message


def test_state_on_another_device_is_the_optimizers() -> None:
    row = raised("RuntimeError", "Expected all tensors to be on the same device", phase="step")
    (finding,) = examine(asks(stopped(row, parameters=(ON_GPU,))), NoOptions())
    assert "optimizer's state" in finding.mechanism


def test_a_model_spread_over_devices_that_runs_is_healthy() -> None:
    assert list(examine(asks(Trace(parameters=(ON_GPU, LEFT))), NoOptions())) == []


def test_weights_without_memory_are_told_even_if_no_step_can_be_made() -> None:
    empty = ParameterRow(name="head.weight", device="meta", place=BUILT)
    known = Trace(setup=SETUP, parameters=(ON_GPU, empty))
    (finding,) = examine(asks(read_source=known), NoOptions())
    assert finding.location.line == BUILT.line
    with pytest.raises(CannotJudge):
        list(examine(asks(read_source=Trace(parameters=(ON_GPU,))), NoOptions()))
