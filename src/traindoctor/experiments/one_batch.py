"""One batch under one loop: its losses before, during and after the training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from traindoctor.experiments.curves import is_stochastic
from traindoctor.experiments.floors import Floor, floor_of
from traindoctor.experiments.lab import Fetched, Lab
from traindoctor.experiments.loop import Loop, device_of
from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.recorder import Stopped
from traindoctor.target.batches import copy_batch, to_device
from traindoctor.trace import CriterionRow

NUM_TRIALS = 3  # losses taken before training, to know the noise of the objective


@dataclass
class OneBatch:
    """One batch under one loop: losses before, during and after the training."""

    lab: Lab
    loop: Loop
    fetched: Fetched
    trials: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)  # with dropout at rest
    floor: Floor = field(default_factory=lambda: Floor(None, "no known loss function was called"))

    @property
    def losses(self) -> list[float]:
        """One a step; before the training, one a trial."""
        return [row.value for row in self.loop.recorder.losses]

    def try_out(self) -> None:
        """Take the loss a few times without training; its floor is read off the loss functions.

        Of a user's own `train_step`, which trains, the first step is the one trial there is.
        """
        with self._loss_functions() as criteria:
            if self.lab.setup.train_step is not None:
                self.loop.run([self.fetched])
            else:
                self._forward()
        self.trials = self.losses[:1]
        if self.trials:
            self.floor = floor_of(criteria.rows, self.trials[0])
        if self.lab.setup.train_step is None:
            for _ in range(NUM_TRIALS - 1):
                self._forward()
            self.trials = self.losses
            self.loop.recorder.losses.clear()
            self.before = self.at_rest()
            self.lab.setup.model.train()
            if is_stochastic(self.before):
                self.floor = Floor(None, "the objective draws noise of its own")

    def at_rest(self, criteria: list[CriterionRow] | None = None) -> list[float]:
        """Return two losses with dropout at rest; `criteria` gets what the loss functions get.

        None can be had without training on where a user's own `train_step` trains.
        """
        recorder, model = self.loop.recorder, self.lab.setup.model
        if self.lab.setup.train_step is not None:
            return []
        seen, raised = len(recorder.losses), len(recorder.exceptions)
        for module in model.modules():  # batch norm keeps to the statistics of the batch
            module.training = "BatchNorm" in type(module).__name__
        with self._loss_functions() as rows:
            self._forward()
        self._forward()
        if criteria is not None:
            criteria += rows.rows
        values = self.losses[seen:]
        del recorder.losses[seen:], recorder.exceptions[raised:]  # some refuse to be at rest
        return values

    @contextmanager
    def _loss_functions(self) -> Iterator[Criteria]:
        criteria = Criteria(self.loop.recorder)
        with Flow(self.loop.recorder, {}, (), [criteria]).watching():
            yield criteria

    def _forward(self) -> None:
        import torch

        batch = to_device(copy_batch(self.fetched.batch), device_of(self.lab.setup))
        try:
            with torch.no_grad():
                self.loop.loss_of(batch)
        except Stopped:
            pass
