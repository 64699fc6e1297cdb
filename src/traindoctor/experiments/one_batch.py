"""One batch under one loop: its losses before, during and after the training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from traindoctor.experiments.both_modes import in_both_modes
from traindoctor.experiments.curves import is_stochastic
from traindoctor.experiments.floors import Floor, floor_of
from traindoctor.experiments.lab import Fetched, Lab
from traindoctor.experiments.loop import Loop, device_of
from traindoctor.experiments.removals import Setting, no_dropout, set_to_zero
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.recorder import Stopped
from traindoctor.target.batches import copy_batch, to_device
from traindoctor.trace import CriterionRow

NUM_TRIALS = 3  # losses taken before training, to know the noise of the objective


@dataclass
class OneBatch:
    """A batch that is trained on again and again, by the canonical loop or the user's own.

    Attributes:
        lab: has the setup.
        loop: trains, and records; a `train_loop` of the user's takes its place.
        fetched: the batch.
        trials: losses before training, as training takes them.
        before: the same with dropout at rest.
        floor: what the loss cannot go below.
        called: what the loss functions got before training.
    """

    lab: Lab
    loop: Loop
    fetched: Fetched
    trials: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    floor: Floor = field(default_factory=lambda: Floor(None, "no known loss function was called"))
    called: list[CriterionRow] = field(default_factory=list)

    @property
    def losses(self) -> list[float]:
        """One a step; before the training, one a trial."""
        recorder = self.loop.recorder
        if self.has_own_loop:
            return [row.loss for row in recorder.backwards if row.loss is not None]
        return [row.value for row in recorder.losses]

    @property
    def has_own_loop(self) -> bool:
        """Whether the setup trains by a `train_loop` alone."""
        return self.lab.setup.train_loop is not None and self.lab.setup.train_step is None

    @property
    def trains_by_hand(self) -> bool:
        """Whether a loss cannot be had without a step."""
        return self.has_own_loop or self.lab.setup.train_step is not None

    def try_out(self) -> None:
        """Take the loss a few times without training; its floor is read off the loss functions.

        Of a step or loop of the user's, which trains, the first loss is the one trial there is.
        """
        with self._loss_functions() as criteria:
            if self.trains_by_hand:
                self.train(1, lambda _: True)
            else:
                self._forward()
        self.called = criteria.rows
        self.trials = self.losses[:1]
        if self.trials:
            self.floor = floor_of(criteria.rows, self.trials[0])
        if not self.trains_by_hand:
            for _ in range(NUM_TRIALS - 1):
                self._forward()
            self.trials = self.losses
            self.loop.recorder.losses.clear()
            self.before = self.at_rest()
            self.lab.setup.model.train()
            if is_stochastic(self.before):
                self.floor = Floor(None, "the objective draws noise of its own")

    def train(self, steps: int, has_ended: Callable[[int], bool]) -> None:
        """Train until the steps are done, user code raises, or `has_ended(step)` says so."""
        if self.has_own_loop:
            self.loop.recorder.losses.clear()
            optimizers = tuple(self.loop.optimizers)
            served = self._served(steps, has_ended)
            run_user_loop(
                self.lab, self.loop.recorder, steps, optimizers=optimizers, instead=served
            )
            return
        for step in range(1, steps + 1):
            if not self.loop.run([self.fetched]) or not self.losses or has_ended(step):
                break

    def standing_still(self, criteria: list[CriterionRow]) -> list[float]:
        """Return losses of the user's own step or loop while no weight moves.

        Every rate is 0 for that, and dropout is off. Only `losses` remembers these steps;
        `criteria` gets what the loss functions get.
        """
        seen = len(self.losses)
        with (
            no_dropout(self.lab.setup.model),
            set_to_zero(*_rates(self.loop.optimizers)),
            self._loss_functions() as rows,
        ):
            self.train(NUM_TRIALS, lambda _: len(self.losses) - seen >= NUM_TRIALS)
        criteria += rows.rows
        return self.losses[seen:]

    def _served(self, steps: int, has_ended: Callable[[int], bool]) -> Iterator[Any]:
        self.loop.recorder.batch = self.fetched.index
        for step in range(1, steps + 1):
            yield copy_batch(self.fetched.batch)
            if self.losses and has_ended(step):
                break

    def at_rest(self, criteria: list[CriterionRow] | None = None) -> list[float]:
        """Return two losses with dropout at rest; `criteria` gets what the loss functions get.

        None can be had where a loss comes with a step.
        """
        recorder, model = self.loop.recorder, self.lab.setup.model
        if self.trains_by_hand:
            return []
        seen, raised = len(recorder.losses), len(recorder.exceptions)
        for module in model.modules():  # batch norm keeps to the statistics of the batch
            module.training = "BatchNorm" in type(module).__name__
        with no_dropout(model):  # also that which is on whatever the mode
            with self._loss_functions() as rows:
                self._forward()
            self._forward()
        if criteria is not None:
            criteria += rows.rows
        values = self.losses[seen:]
        del recorder.losses[seen:], recorder.exceptions[raised:]  # some refuse to be at rest
        return values

    def in_both_modes(self, has_time: Callable[[], bool]) -> dict[str, Any] | None:
        """Return what eval mode makes of what was learned; see the module of that name.

        None where a loss comes with a step.
        """
        floor, recorder = self.floor.value, self.loop.recorder
        if self.trains_by_hand or floor is None:
            return None
        seen, raised = len(recorder.losses), len(recorder.exceptions)

        def loss() -> float | None:
            number = len(recorder.losses)
            self._forward()
            return recorder.losses[-1].value if len(recorder.losses) > number else None

        facts = in_both_modes(self.lab.setup.model, loss, self.trials[0], floor, has_time)
        del recorder.losses[seen:], recorder.exceptions[raised:]
        return facts

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


def _rates(optimizers: Iterable[Any]) -> Iterator[Setting]:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if "lr" in group:
                yield functools.partial(group.__setitem__, "lr"), group["lr"]
