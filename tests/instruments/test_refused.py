"""What an operation refused is recorded, and only of the exception that really came."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from traindoctor.experiments import Lab, OneStep
from traindoctor.instruments.refused import operands
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import ExceptionRow


def refused(model: nn.Module, batch: Any) -> ExceptionRow:
    setup = TrainingSetup(model=model, loader=[batch], loss_fn=F.cross_entropy)
    (row,) = Lab(setup).perform(OneStep()).exceptions
    return row


def test_operands_are_recorded_with_shape_dtype_device_and_range() -> None:
    labels = torch.tensor([0, 7, 1, 2])
    row = refused(nn.Linear(3, 5), (torch.randn(4, 3), labels))
    assert row.operation == "cross_entropy"
    assert row.operand_shapes == ((4, 5), (4,))
    assert row.operand_dtypes == ("float32", "int64")
    assert row.operand_devices == ("cpu", "cpu")
    assert row.operand_ranges == (None, (0, 7))


def test_an_operation_that_the_model_got_over_is_not_blamed() -> None:
    class Careful(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            try:
                x @ torch.ones(9, 9)
            except RuntimeError:
                raised = KeyError("mode")
            raise raised from None

    row = refused(Careful(3, 5), (torch.randn(4, 3), torch.zeros(4).long()))
    assert (row.type_name, row.operation) == ("KeyError", "")


def test_the_keywords_of_the_call_and_the_raising_line_are_recorded() -> None:
    class Unpacks(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            _, _, _ = x.shape
            return super().forward(x)

    model = Unpacks(3, 5)
    row = refused(model, {"x": torch.randn(4, 3), "labels": torch.zeros(4).long()})
    assert row.module_keywords == ("x",)
    assert row.raising_text == "_, _, _ = x.shape"


def test_tensors_without_readable_values_have_no_range() -> None:
    meta = torch.zeros(3, dtype=torch.long, device="meta")
    assert operands("embedding", [meta, torch.zeros(0).long()])["operand_ranges"] == (None, None)


@pytest.mark.parametrize("size", [1900, 9000])
def test_both_ends_of_a_long_message_are_kept(size: int) -> None:
    class Loud(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("begin" + "." * size + "end")

    row = refused(Loud(3, 5), (torch.randn(4, 3), torch.zeros(4).long()))
    assert row.message.startswith("begin")
    assert row.message.endswith("end")
    assert len(row.message) <= 2003
