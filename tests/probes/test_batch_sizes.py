"""One row of outputs for all samples is reported where it broadcasts in silence."""

from __future__ import annotations

import pytest
from tests.probes.asking import LINE, asks, batch, leaf

from traindoctor.probing import NoOptions, Severity
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes.batch_sizes import examine

BATCH = batch(leaf("x", 8, 3), leaf("y", 8, 2))


def step(given: tuple[int, ...], target: tuple[int, ...], function: str = "mse_loss") -> Trace:
    row = CriterionRow(function=function, place=LINE, input_shape=given, target_shape=target)
    return Trace(criteria=(row,), batches=(BATCH,))


def test_a_folded_batch_is_an_error_at_the_losss_line() -> None:
    (finding,) = examine(asks(step((1, 2), (8, 2))), NoOptions())
    assert (finding.code, finding.severity) == ("TD014", Severity.ERROR)
    assert finding.location.line == LINE.line


@pytest.mark.parametrize(
    ("given", "target", "function"),
    [
        ((8, 2), (8, 2), "mse_loss"),
        ((1, 2), (5, 2), "mse_loss"),  # not the batch's size: prototypes, not samples
        ((1, 2), (8, 2), "sub"),  # a mean taken off the inputs
    ],
)
def test_shapes_that_are_meant_so_are_left_alone(
    given: tuple[int, ...], target: tuple[int, ...], function: str
) -> None:
    assert list(examine(asks(step(given, target, function)), NoOptions())) == []
