"""Replays a run up to the step that went non-finite, and finds the operation it began with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.backward import before_each
from traindoctor.instruments.finite import FirstNonFinite, watch_nodes
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.modules import ModuleCalls
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.history import lines_kept
from traindoctor.trace import OperationRow, Trace


@dataclass(frozen=True)
class LocateNonFinite(Experiment):
    """The same steps as the short run's from the same seed, every output checked at the last.

    `batch` is the batch whose loss or gradients were not finite.
    """

    batch: int = 0

    name: ClassVar[str] = "locate-non-finite"
    cost: ClassVar[int] = 10

    def run(self, lab: Lab) -> Trace:
        """Return the operations: the first that made a NaN forwards, the first backwards."""
        recorder, anatomy = Recorder(clock=lab.clock), lab.anatomy
        first = FirstNonFinite(recorder)
        flow = Flow(recorder, anatomy.names, anatomy.trainable, [first])
        rows: list[OperationRow] = []
        as_training_begins(lab)
        calls = ModuleCalls(recorder, anatomy)
        with (
            instruments(lab, recorder, detail=False),
            calls.watching(),
            lines_kept(),
            before_each(lambda loss: watch_nodes(recorder, loss, rows)),
        ):
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                with flow.watching():
                    run_user_loop(lab, recorder, self.batch + 1)
            else:
                batches = lab.batches(self.batch + 1)
                loop = Loop(lab.setup, lab.optimizers(), recorder)
                if loop.run(batches[:-1]):
                    with flow.watching():
                        loop.run(batches[-1:])
        recorder.operations += [op for op in (first.origin or first.last_infinite,) if op]
        recorder.operations += rows[:1]
        return finished(lab, recorder, modules=calls.rows())
