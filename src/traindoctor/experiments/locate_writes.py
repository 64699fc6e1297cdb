"""A few steps in which every write to a parameter is seen, with its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.writes import Writes
from traindoctor.trace import Trace


@dataclass(frozen=True)
class LocateWrites(Experiment):
    """Steps under a function mode: who changes parameters besides the optimizer."""

    num_batches: int = 6

    name: ClassVar[str] = "locate-writes"
    cost: ClassVar[int] = 9

    def run(self, lab: Lab) -> Trace:
        """Return writes and steps."""
        recorder, setup = Recorder(clock=lab.clock), lab.setup
        writes = Writes(recorder, dict(setup.model.named_parameters()))
        as_training_begins(lab)
        with instruments(lab, recorder, detail=False), writes.watching():
            if setup.train_loop is not None:
                run_user_loop(lab, recorder, self.num_batches)
            else:
                Loop(setup, lab.optimizers(), recorder).run(lab.batches(self.num_batches))
        return finished(lab, recorder)
