"""A few steps whose graphs are compared: what do two backward passes share, and does it grow?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.graph import Graphs
from traindoctor.instruments.inplace import InPlace
from traindoctor.instruments.modules import ModuleCalls
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.history import lines_kept
from traindoctor.trace import Trace


@dataclass(frozen=True)
class WatchGraph(Experiment):
    """Steps under autograd's own tracebacks (about 2.5 × a step), nodes compared pass by pass."""

    num_batches: int = 4

    name: ClassVar[str] = "watch-graph"
    cost: ClassVar[int] = 9
    keeps_history: ClassVar[bool] = True

    def run(self, lab: Lab) -> Trace:
        """Return graphs, in-place operations, and the exception that ended it, if one did."""
        recorder, anatomy = Recorder(clock=lab.clock), lab.anatomy
        calls = ModuleCalls(recorder, anatomy)
        in_place = InPlace(recorder)
        flow = Flow(recorder, {}, (), [in_place])
        as_training_begins(lab)
        with (
            instruments(lab, recorder, detail=False),
            calls.watching(),
            lines_kept(),
            Graphs(recorder, lab.setup, calls).watching(),
            flow.watching(),
        ):
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                run_user_loop(lab, recorder, self.num_batches)
            else:
                loop = Loop(lab.setup, lab.optimizers(), recorder)
                loop.run(lab.batches(self.num_batches))
        recorder.operations += in_place.rows
        return finished(lab, recorder, modules=calls.rows())
