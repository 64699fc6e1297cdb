"""Refused shapes are told with the shape that would be taken and the batch's own tensor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import LINE, SETUP, asks, batch, leaf, raised, stopped

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import BatchRow, Place, Trace
from traindoctor_probes._takes import takes
from traindoctor_probes.batch_sizes import examine as examine_sizes
from traindoctor_probes.tensor_shapes import examine

VOLUMES = batch(leaf("pixel_values", 4, 5, 3, 8, 8, 8), leaf("labels", 4, dtype="int64"))


def found(row: Any, given: BatchRow = VOLUMES) -> list[Finding]:
    return list(examine(asks(stopped(row, given)), NoOptions()))


def test_a_convolution_says_what_it_takes_and_which_tensor_it_got() -> None:
    row = raised(
        "RuntimeError",
        "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: […]",
        module="stem",
        module_class="Conv2d",
        module_input_shapes=((4, 5, 3, 8, 8, 8),),
        module_attributes={"in_channels": 3},
    )
    (finding,) = found(row)
    assert finding.code == "TD003"
    assert "stem (Conv2d)" in finding.message
    assert "(batch, 3, height, width)" in finding.message
    assert "`pixel_values`" in finding.message
    assert finding.location.line == LINE.line


CONV = raised(
    "RuntimeError",
    "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: […]",
    module="stem",
    module_class="Conv2d",
    module_input_shapes=((4, 5, 3, 8, 8, 8),),
    module_attributes={"in_channels": 3},
    place=Place(),
)
MADE = Place("/user/data.py", 7, "collate", "volumes = torch.zeros(4, 5, 3, 8, 8, 8)")


def test_what_a_library_refuses_is_told_at_the_line_that_makes_it() -> None:
    traced = Trace(facts={"made": {"pixel_values": MADE}})
    (finding,) = examine(asks(stopped(CONV, VOLUMES), trace_batch=traced), NoOptions())
    assert (finding.location.line, finding.also_at) == (7, ())
    assert "`volumes = torch.zeros(4, 5, 3, 8, 8, 8)` at line 7 makes it" in finding.message


def test_a_shape_is_found_behind_a_batch_whose_class_is_refused_first() -> None:
    own = replace(VOLUMES, kind="dataclass", class_name="Batch", protocols=("mapping",))
    no_length = raised("TypeError", "object of type 'Batch' has no len()", place=Place())
    mapped = stopped(CONV, VOLUMES)
    (finding,) = examine(asks(stopped(no_length, own), one_step_as_mapping=mapped), NoOptions())
    assert finding.code == "TD003"
    opaque = stopped(no_length, replace(own, protocols=("to",)))
    assert list(examine(asks(opaque, one_step_as_mapping=mapped), NoOptions())) == []
    by_hand = replace(SETUP, has_train_loop=True)
    looping = stopped(no_length, own, setup=by_hand)
    assert list(examine(asks(looping, one_step_as_mapping=mapped), NoOptions())) == []


def test_unpacking_a_shape_counts_its_axes() -> None:
    row = raised(
        "ValueError",
        "too many values to unpack (expected 4)",
        raising_text="batch_size, num_channels, height, width = pixel_values.shape",
        module="vision.embeddings",
        module_class="VisionEmbeddings",
        module_input_shapes=((4, 5, 3, 8, 8, 8),),
    )
    (finding,) = found(row)
    assert "4 axes" in finding.title
    assert "`pixel_values`" in finding.message


def test_unpacking_something_else_is_another_fault() -> None:
    row = raised("ValueError", "too many values to unpack (expected 2)", raising_text="a, b = pair")
    assert found(row) == []


def test_operands_stand_in_where_no_layer_refused() -> None:
    row = raised(
        "RuntimeError",
        "The size of tensor a (8) must match the size of tensor b (7) at non-singleton dimension 1",
        operation="add",
        operand_shapes=((4, 8), (4, 7)),
    )
    (finding,) = found(row)
    assert "(4, 8)" in finding.message
    assert "(4, 7)" in finding.message


@pytest.mark.parametrize(
    "message",
    [
        "Target 3 is out of bounds.",
        "mat1 and mat2 must have the same dtype, but got Double and Float",
        "Expected more than 1 value per channel when training, got input size torch.Size([1, 8])",
        "one of the variables needed for gradient computation has been modified by an inplace",
    ],
)
def test_other_complaints_are_left_alone(message: str) -> None:
    assert found(raised("RuntimeError", message)) == []


@pytest.mark.parametrize(
    ("kind", "attributes", "expected"),
    [
        ("Linear", {"in_features": 8}, "(..., 8)"),
        ("Conv3d", {"in_channels": 2}, "(batch, 2, depth, height, width)"),
        ("BatchNorm1d", {"num_features": 6}, "(batch, 6) or (batch, 6, length)"),
        ("LayerNorm", {"normalized_shape": (8,)}, "(..., 8)"),
        ("LSTM", {"input_size": 5, "batch_first": True}, "(batch, time, 5)"),
        ("LSTM", {"input_size": 5}, "(time, batch, 5)"),
        ("Mystery", {}, ""),
    ],
)
def test_layers_say_what_they_take(kind: str, attributes: dict[str, Any], expected: str) -> None:
    assert takes(kind, attributes) == expected


def rows(outputs: int, targets: int) -> Any:
    message = f"Expected input batch_size ({outputs}) to match target batch_size ({targets})."
    return raised("ValueError", message, phase="loss")


@pytest.mark.parametrize(
    ("outputs", "targets", "given"),
    [
        (4, 3, batch(leaf("x", 4, 8), leaf("y", 3, dtype="int64"))),  # labels were dropped
        (1, 4, batch(leaf("x", 4, 8), leaf("y", 4, dtype="int64"))),  # the batch axis was reduced
        (16, 4, batch(leaf("x", 4, 8), leaf("y", 4, dtype="int64"))),  # view(-1, …) folded
        (40, 30, batch(leaf("x", 4, 10), leaf("y", 3, 10, dtype="int64"))),  # flattened over time
    ],
)
def test_rows_that_cannot_be_paired_are_differing_sizes_and_no_shape(
    outputs: int, targets: int, given: BatchRow
) -> None:
    step = stopped(rows(outputs, targets), given)
    (finding,) = examine_sizes(asks(step), NoOptions())
    assert finding.code == "TD014"
    assert finding.severity.value == "critical"
    assert list(examine(asks(step), NoOptions())) == []


def test_labels_one_step_longer_are_a_shape_and_no_differing_sizes() -> None:
    given = batch(leaf("x", 4, 9), leaf("y", 4, 10, dtype="int64"))
    step = stopped(rows(36, 40), given)
    assert [f.code for f in examine(asks(step), NoOptions())] == ["TD003"]
    assert list(examine_sizes(asks(step), NoOptions())) == []


def test_images_and_texts_of_different_numbers_are_no_fault_by_themselves() -> None:
    given = batch(leaf("input_ids", 2, 9, dtype="int64"), leaf("patches", 64, 12))
    assert list(examine_sizes(asks(Trace(batches=(given,))), NoOptions())) == []
