"""A column against a row is reported; broadcasting that is meant is not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import LINE, asks, batch, leaf

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes.loss_broadcast import broadcast, examine

BATCH = batch(leaf("x", 8, 3), leaf("y", 8, minimum=-1.5, maximum=2.0))


def found(
    given: tuple[int, ...], target: tuple[int, ...], function: str = "mse_loss", **facts: Any
) -> list[Finding]:
    row = CriterionRow(
        function=function, place=LINE, input_shape=given, target_shape=target, **facts
    )
    return list(examine(asks(Trace(criteria=(row,), batches=(BATCH,))), NoOptions()))


def test_a_column_of_predictions_meets_every_target() -> None:
    (finding,) = found((8, 1), (8,))
    assert (finding.code, finding.location.line) == ("TD012", LINE.line)
    assert finding.title == "mse_loss broadcasts (8, 1) against (8,) to (8, 8)"


def test_a_hand_written_difference_with_the_batchs_targets_counts() -> None:
    label = {"target_minimum": -1.5, "target_maximum": 2.0}
    (finding,) = found((8, 1), (8,), "sub", **label)
    assert finding.confidence.value == "likely"


def test_so_does_one_of_a_layers_output_whose_pairs_become_one_number() -> None:
    (finding,) = found((8, 1), (8,), "sub", input_operation="linear", reduction="mean")
    assert finding.confidence.value == "likely"
    assert found((8, 1), (8,), "sub", input_operation="linear", reduction="none") == []
    assert found((8, 1), (8,), "sub", reduction="mean") == []


@pytest.mark.parametrize(
    ("given", "target", "function"),
    [
        ((8, 1), (8, 1), "mse_loss"),
        ((8,), (1,), "mse_loss"),
        ((8, 3), (8, 1), "sub"),  # quantiles against one target
        ((8, 1), (1, 8), "sub"),  # all pairs, written out
        ((8, 1), (8,), "sub"),  # centres that are not in the batch
        ((8, 5), (5,), "mse_loss"),
        ((1, 1), (1,), "mse_loss"),
    ],
)
def test_broadcasting_that_is_meant_is_left_alone(
    given: tuple[int, ...], target: tuple[int, ...], function: str
) -> None:
    assert found(given, target, function) == []


def test_shapes_broadcast_as_torch_does_it() -> None:
    assert broadcast((4, 1), (4,)) == (4, 4)
    assert broadcast((2, 3, 1), (3, 5)) == (2, 3, 5)
    assert broadcast((4, 3), (4,)) is None
