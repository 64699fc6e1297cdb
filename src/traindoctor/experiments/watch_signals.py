"""Watches what layers and activations return in the first steps of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.modules import ModuleCalls
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.signals import Signals
from traindoctor.trace import Trace


@dataclass(frozen=True)
class WatchSignals(Experiment):
    """A few steps; the size of what layers return is that of the first, before any update."""

    num_batches: int = 4

    name: ClassVar[str] = "watch-signals"
    cost: ClassVar[int] = 5

    def run(self, lab: Lab) -> Trace:
        """Return the signals, and the usual tables."""
        recorder = Recorder(clock=lab.clock)
        calls, signals = ModuleCalls(recorder, lab.anatomy), Signals(recorder)
        flow = Flow(recorder, {}, (), [signals])
        as_training_begins(lab)
        with instruments(lab, recorder, detail=False), calls.watching(), flow.watching():
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                run_user_loop(lab, recorder, self.num_batches)
            else:
                Loop(lab.setup, lab.optimizers(), recorder).run(lab.batches(self.num_batches))
        return finished(lab, recorder, modules=calls.rows(), signals=signals.rows())
