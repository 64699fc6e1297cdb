"""Looks at the weights as they were handed over, and at some of them again after training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.weights import (
    describe_matrix,
    gradients_by_row,
    matrices,
    reached,
    row_spread,
)
from traindoctor.trace import Trace, WeightRow

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReadWeights(Experiment):
    """Every trainable matrix, as it is before training."""

    name: ClassVar[str] = "read-weights"
    cost: ClassVar[int] = 0

    def run(self, lab: Lab) -> Trace:
        """Return the weights."""
        rows = [describe_matrix(*found) for found in matrices(lab.setup.model)]
        anatomy = lab.anatomy
        return Trace(
            setup=anatomy.facts,
            parameters=anatomy.parameters,
            optimizers=anatomy.optimizer_rows,
            weights=tuple(row for row in rows if row is not None),
        )


@dataclass(frozen=True)
class WatchWeights(Experiment):
    """A few steps, and what became of some matrices.

    Attributes:
        parameters: their names.
    """

    parameters: tuple[str, ...]
    num_batches: int = 6

    name: ClassVar[str] = "watch-weights"
    cost: ClassVar[int] = 6

    def run(self, lab: Lab) -> Trace:
        """Return the weights as they were, with what moved them; the spread is that at the end."""
        recorder = Recorder(clock=lab.clock)
        found = [item for item in matrices(lab.setup.model) if item[0] in self.parameters]
        before = {name: p.detach().clone() for name, p, _ in found}
        rows = [describe_matrix(*item) for item in found]
        chosen = {name: p for name, p, _ in found}
        as_training_begins(lab)
        with instruments(lab, recorder, detail=False), gradients_by_row(chosen) as passes:
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                run_user_loop(lab, recorder, self.num_batches)
            else:
                Loop(lab.setup, lab.optimizers(), recorder).run(lab.batches(self.num_batches))
        after = [_after(row, chosen[row.name], before[row.name]) for row in rows if row]
        weights = tuple(reached(row, passes[row.name]) for row in after)
        return replace(finished(lab, recorder), weights=weights)


def _after(row: WeightRow, p: torch.Tensor, before: torch.Tensor) -> WeightRow:
    moved = float((p.detach() - before).abs().max())
    return replace(row, row_spread=row_spread(p), moved=moved)
