"""Whoever gets the wrong dtype says which it got, which it takes, and whence it came."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks, batch, leaf, raised, stopped

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import ParameterRow, Trace
from traindoctor_probes.tensor_dtypes import examine

WEIGHTS = (ParameterRow(name="stem.weight", module="stem", dtype="float32"),)


def found(message: str, given: Any, **facts: Any) -> list[Finding]:
    step = stopped(raised("RuntimeError", message, **facts), given, parameters=WEIGHTS)
    return list(examine(asks(step), NoOptions()))


def test_a_layer_names_the_dtype_of_its_weights_and_the_batchs_tensor() -> None:
    (finding,) = found(
        "mat1 and mat2 must have the same dtype, but got Double and Float",
        batch(leaf("x", 4, 3, dtype="float64"), leaf("y", 4)),
        module="stem",
        module_class="Linear",
        module_input_dtypes=("float64",),
        module_input_shapes=((4, 3),),
        operation="linear",
        operand_dtypes=("float64", "float32", "float32"),
        operand_shapes=((4, 3), (8, 3), (8,)),
    )
    assert finding.code == "TD005"
    assert finding.title == "stem (Linear) is given float64 where it takes float32"
    assert "`x`" in finding.message


def test_a_classification_loss_asks_for_class_indices() -> None:
    (finding,) = found(
        "expected target dtype to be Long or Byte, but got Float",
        batch(leaf("x", 4, 3), leaf("labels", 4)),
        phase="loss",
        operation="cross_entropy",
        operand_dtypes=("float32", "float32"),
        operand_shapes=((4, 5), (4,)),
    )
    assert "int64 class indices" in finding.title
    assert finding.subject == "labels"


def test_an_embedding_asks_for_ids() -> None:
    (finding,) = found(
        "Expected tensor for argument #1 'indices' to have one of the following scalar types: …",
        batch(leaf("ids", 4, 9)),
        operation="embedding",
        operand_dtypes=("float32", "float32"),
        operand_shapes=((4, 9), (30, 8)),
    )
    assert finding.title == "embedding is given float32 where it takes int64 ids"


@pytest.mark.parametrize(
    "message",
    [
        "Input type (torch.cuda.HalfTensor) and weight type (torch.HalfTensor) should be the same",
        "Expected all tensors to be on the same device, but found at least two devices",
        "Only Tensors of floating point and complex dtype can require gradients",
        "Target 3 is out of bounds.",
    ],
)
def test_other_complaints_are_left_alone(message: str) -> None:
    assert found(message, batch(leaf("x", 4, 3))) == []


def test_a_program_that_autocast_keeps_running_is_healthy() -> None:
    assert list(examine(asks(Trace(batches=(batch(leaf("x", 4, 3)),))), NoOptions())) == []
