"""What became of matrices with equal rows is what `WatchWeights` would say of them."""

from __future__ import annotations

import torch

from traindoctor.trace import GradientRow, WeightRow
from traindoctor.watching.matrices import watched

ROW = WeightRow(name="w", num_rows=2, num_columns=3, value=0.0)


def test_spread_movement_and_passes() -> None:
    weight = torch.nn.Parameter(torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, 0.25]]))
    gradients = [GradientRow(step=step, parameter="w", rms=0.1) for step in range(3)]
    (row,) = watched([ROW], {"w": weight}, {"w": torch.zeros(2, 3)}, gradients)
    assert (row.row_spread, row.moved) == (0.5, 0.5)
    assert (row.num_passes, row.num_rows_reached) == (3, 2)


def test_gradients_of_zeros_reach_no_row_and_no_gradient_is_no_pass() -> None:
    weight, before = torch.nn.Parameter(torch.zeros(2, 3)), {"w": torch.zeros(2, 3)}
    zeros = GradientRow(step=0, parameter="w", rms=0.0)
    none = GradientRow(step=1, parameter="w", is_none=True)
    (row,) = watched([ROW], {"w": weight}, before, [zeros, none])
    assert (row.num_passes, row.num_rows_reached) == (1, 0)


def test_rows_that_differed_from_the_start_are_not_followed() -> None:
    weight = torch.nn.Parameter(torch.eye(2))
    row = WeightRow(name="w", num_rows=2, num_columns=2, row_spread=1.0)
    assert watched([row], {"w": weight}, {"w": torch.eye(2)}, []) == ()
