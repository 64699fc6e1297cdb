"""What became of the matrices that began with equal rows, once the first steps are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from traindoctor.instruments.weights import row_spread
from traindoctor.trace import GradientRow, WeightRow

if TYPE_CHECKING:
    import torch


def watched(
    rows: Sequence[WeightRow],
    parameters: Mapping[str, torch.nn.Parameter],
    before: Mapping[str, torch.Tensor],
    gradients: Sequence[GradientRow],
) -> tuple[WeightRow, ...]:
    """Return what `WatchWeights` would give for the matrices whose rows were equal.

    Args:
        rows: the matrices as they were.
        parameters: as they are, by name.
        before: their values as they were.
        gradients: one row a parameter and step.
    """
    found = []
    for row in rows:
        p, start = parameters.get(row.name), before.get(row.name)
        if row.row_spread or p is None or start is None or p.shape != start.shape:
            continue
        own = [g for g in gradients if g.parameter == row.name and not g.is_none]
        found.append(
            replace(
                row,
                row_spread=row_spread(p),
                moved=float((p.detach() - start).abs().max()),
                num_passes=len(own),
                num_rows_reached=row.num_rows if any(g.rms != 0 for g in own) else 0,
            )
        )
    return tuple(found)
