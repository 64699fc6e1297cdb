"""Replays a run up to one batch, and finds where the gradients of some parameters become zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.backward import before_each
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.zeros import watch_for_zeros
from traindoctor.target.history import lines_kept
from traindoctor.trace import OperationRow, Trace

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LocateZeroGradient(Experiment):
    """The short run's steps from the same seed; at the last one each graph node is watched.

    Attributes:
        parameters: names of those whose gradients were exactly zero.
        batch: the batch at which to look.
    """

    parameters: tuple[str, ...] = ()
    batch: int = 0

    name: ClassVar[str] = "locate-zero-gradient"
    cost: ClassVar[int] = 10

    def run(self, lab: Lab) -> Trace:
        """Return the operations that were handed a gradient and handed on zeros."""
        recorder, chosen = Recorder(clock=lab.clock), set(self.parameters)
        targets = {key: name for key, name in lab.anatomy.names.items() if name in chosen}
        rows: list[OperationRow] = []
        as_training_begins(lab)

        def look(loss: torch.Tensor) -> None:
            if recorder.batch == self.batch and loss.grad_fn is not None:
                watch_for_zeros(loss, targets, rows, self.batch)

        with instruments(lab, recorder, detail=False), lines_kept(), before_each(look):
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                run_user_loop(lab, recorder, self.batch + 1)
            else:
                loop = Loop(lab.setup, lab.optimizers(), recorder)
                loop.run(lab.batches(self.batch + 1))
        recorder.operations += rows
        return finished(lab, recorder)
