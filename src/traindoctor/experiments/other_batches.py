"""Does the user's training do otherwise when it is given other batches?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from traindoctor.experiments.lab import Experiment, Fetched, Lab, seed_everything
from traindoctor.experiments.loop import Loop, as_training_begins, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import copy_batch
from traindoctor.trace import EvaluationRow, LossRow, Trace


@dataclass(frozen=True)
class OtherBatches(Experiment):
    """The user's step or loop run twice from one state: on one batch, and then on different ones.

    Evaluations: the losses of both runs, labelled `these` and `others`. Empty where the loader has
    too few batches.
    """

    num_batches: int = 4

    name: ClassVar[str] = "other-batches"
    cost: ClassVar[int] = 8

    def run(self, lab: Lab) -> Trace:
        """Return the losses."""
        found = lab.batches(2 * self.num_batches - 1)
        rows: list[EvaluationRow] = []
        if len(found) == 2 * self.num_batches - 1:
            first, rest = found[0], found[1:]
            half = self.num_batches - 1
            for label, chosen in (("these", rest[:half]), ("others", rest[half:])):
                rows += [
                    EvaluationRow(label=label, value=row.value)
                    for row in self._losses(lab, [first, *chosen])
                ]
                if lab.snapshot is not None:
                    lab.snapshot.restore()
        return Trace(setup=lab.anatomy.facts, evaluations=tuple(rows))

    def _losses(self, lab: Lab, batches: list[Fetched]) -> list[LossRow]:
        recorder = Recorder(clock=lab.clock)
        as_training_begins(lab)
        seed_everything()
        with instruments(lab, recorder, detail=False):
            if lab.setup.train_loop is not None:
                copies = [copy_batch(item.batch) for item in batches]
                run_user_loop(lab, recorder, self.num_batches, instead=iter(copies))
            else:
                Loop(lab.setup, lab.optimizers(), recorder).run(batches)
        return recorder.losses
