"""Trains on one batch until its loss reaches its floor: can this setup learn anything at all?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments.floors import Floor, floor_of
from traindoctor.experiments.lab import Experiment, Fetched, Lab
from traindoctor.experiments.loop import Loop, clear_gradients, finished, instruments
from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import Trace

if TYPE_CHECKING:
    import torch

LEARNED_SHARE = 0.1  # of the way from the start to the floor that may be left
MOVED_SHARE = 0.1  # of that way that must have been gone to speak of learning
NUM_TRIALS = 3  # losses taken before training, to know the noise of the objective


@dataclass(frozen=True)
class OverfitBatch(Experiment):
    """One batch, many steps.

    Attributes:
        steps: the most steps taken.
        learning_rate: for every parameter group; None leaves the setup's own.
        factor: multiplies every group's learning rate.
        fresh: use the doctor's AdamW over all trainable parameters, not the setup's optimizer.
        target_loss: stop there; None stops when 2 % of the way to the floor is left.
        max_seconds: the time it may take.
        batch: which of the loader's batches.
    """

    steps: int = 60
    learning_rate: float | None = None
    factor: float = 1.0
    fresh: bool = False
    target_loss: float | None = None
    max_seconds: float = 20.0
    batch: int = 0

    name: ClassVar[str] = "overfit-batch"
    cost: ClassVar[int] = 60

    def run(self, lab: Lab) -> Trace:
        """Return losses and steps; `facts` say how far it came and whether that is learning.

        Raises:
            ExperimentFailed: there is no batch, or the setup only has a loop of its own.
        """
        setup = lab.setup
        fetched = lab.batches(self.batch + 1)[self.batch :]
        if not fetched:
            raise ExperimentFailed("the loader gave no batch")
        if setup.train_loop is not None and setup.train_step is None and setup.loss_fn is None:
            raise ExperimentFailed(
                "the setup trains by a train_loop of its own; hand over a train_step "
                "or a loss_fn to have one batch overfitted"
            )
        recorder = Recorder(clock=lab.clock)
        optimizers = self._optimizers(lab)
        clear_gradients(lab)
        setup.model.train()
        with instruments(lab, recorder, detail=False):
            loop = Loop(setup, optimizers, recorder, with_schedule=False, accumulation_steps=1)
            trials, floor = _trials(lab, loop, fetched[0])
            rates = [float(g["lr"]) for o in optimizers for g in o.param_groups if "lr" in g]
            seconds = self._train(lab, loop, fetched[0], trials, floor) if trials else 0.0
        recorder.facts["overfit"] = outcome(
            trials=trials,
            losses=[row.value for row in recorder.losses],
            floor=floor,
            target=self.target_loss,
        ) | {
            "learning_rate": rates[0] if rates else None,
            "optimizer": type(optimizers[0]).__name__,
            "steps": len(recorder.losses),
            "steps_asked": self.steps,
            "seconds": seconds,
        }
        return finished(lab, recorder)

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return the curve and the verdict of the run with the setup's own settings."""
        plain = not self.fresh and self.factor == 1.0
        if not plain or "overfit" not in trace.facts:
            return {}
        losses = [row.value for row in trace.losses]
        curve = {"x": list(range(len(losses))), "y": losses}
        return {"overfit": trace.facts["overfit"] | {"curve": curve}}

    def _optimizers(self, lab: Lab) -> tuple[torch.optim.Optimizer, ...]:
        if self.fresh:
            return (lab.doctors_optimizer(self.learning_rate or 1e-3),)
        optimizers = lab.optimizers()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                if "lr" not in group:
                    continue
                # A scheduler may have set a warm-up's first rate; the plan's own is what counts.
                planned = max(float(group["lr"]), float(group.get("initial_lr", 0.0)))
                planned = max(planned, float(group.get("max_lr", 0.0)))
                group["lr"] = (self.learning_rate or planned) * self.factor
        return optimizers

    def _train(
        self, lab: Lab, loop: Loop, fetched: Fetched, trials: Sequence[float], floor: Floor
    ) -> float:
        start = lab.clock()
        goal = self._goal(trials, floor)
        for step in range(1, self.steps + 1):
            if not loop.run([fetched]):
                break
            if not loop.recorder.losses:
                break
            loss = loop.recorder.losses[-1].value
            spent = lab.clock() - start
            lab.on_progress(step, self.steps, f"loss {loss:.4g}")
            reached = goal is not None and loss <= goal
            if reached or not math.isfinite(loss) or spent > self.max_seconds:
                break
        return lab.clock() - start

    def _goal(self, trials: Sequence[float], floor: Floor) -> float | None:
        if self.target_loss is not None:
            return self.target_loss
        if floor.value is None:
            return None
        return floor.value + 0.02 * (trials[0] - floor.value)


def _trials(lab: Lab, loop: Loop, fetched: Fetched) -> tuple[list[float], Floor]:
    """Take the loss a few times without training, and read the floor off its loss functions."""
    import torch

    from traindoctor.experiments.loop import device_of
    from traindoctor.instruments.recorder import Stopped
    from traindoctor.target.batches import copy_batch, to_device

    if lab.setup.train_step is not None:
        return _trial_by_step(loop, fetched)
    criteria = Criteria(loop.recorder)
    values: list[float] = []
    floor = Floor(None, "no known loss function was called")
    for number in range(NUM_TRIALS):
        batch = to_device(copy_batch(fetched.batch), device_of(lab.setup))
        flow = Flow(loop.recorder, {}, (), [criteria] if number == 0 else [])
        try:
            with torch.no_grad(), flow.watching():
                loss = loop.loss_of(batch)
        except Stopped:
            break
        values.append(float(loss.detach().float().mean()))
        if number == 0:
            floor = floor_of(criteria.rows, values[0])
    loop.recorder.losses.clear()
    return values, floor


def _trial_by_step(loop: Loop, fetched: Fetched) -> tuple[list[float], Floor]:
    """Take the first step of a user's own `train_step` as the one trial there is."""
    criteria = Criteria(loop.recorder)
    with Flow(loop.recorder, {}, (), [criteria]).watching():
        worked = loop.run([fetched])
    losses = [row.value for row in loop.recorder.losses]
    if not worked or not losses:
        return [], Floor(None, "")
    return losses[:1], floor_of(criteria.rows, losses[0])


def outcome(
    *, trials: Sequence[float], losses: Sequence[float], floor: Floor, target: float | None
) -> dict[str, Any]:
    """Judge a curve: learned, not learned, or neither can be said.

    Args:
        trials: losses before training; their spread is the objective's own noise.
        losses: one a step.
        floor: what the loss cannot go below, where that is known.
        target: the user's own idea of learned.

    Returns:
        `learned` (True, False, None), `reason`, `start`, `end`, `best`, `floor`, `progress`
        (share of the way to the floor; None where the way's length is unknown), `noise`.
    """
    result: dict[str, Any] = {
        "start": trials[0] if trials else None,
        "end": None,
        "floor": floor.value,
        "floor_reason": floor.reason,
        "target": target,
        "noise": statistics.pstdev(trials) if len(trials) > 1 else 0.0,
        "stochastic": len(set(trials)) > 1,
        "progress": None,
        "learned": None,
        "reason": "no loss was seen",
    }
    if not trials or not losses:
        return result
    if not all(math.isfinite(loss) for loss in losses):
        return result | {"end": losses[-1], "learned": False, "reason": "the loss is not finite"}
    start = statistics.fmean(trials)
    end = statistics.median(losses[-3:])
    result |= {"start": start, "end": end}
    gained = start - end
    way = start - floor.value if floor.value is not None else max(abs(start), 1e-12)
    progress = gained / way if way > 0 else 1.0
    result["progress"] = progress
    if target is not None:
        met = min(losses) <= target
        return result | {"learned": met, "reason": "target reached" if met else "target not reached"}
    beyond_noise = gained > 4 * result["noise"]
    if way <= 1e-6:
        return result | {"learned": True, "reason": "it starts at its floor"}
    if progress >= 1 - LEARNED_SHARE:
        return result | {"learned": True, "reason": "the floor is reached"}
    if floor.value is None and progress >= MOVED_SHARE and beyond_noise:
        return result | {"learned": True, "reason": "it falls; its floor is not known"}
    if progress >= MOVED_SHARE and beyond_noise:
        return result | {"reason": "it falls, and had not reached its floor when the steps ended"}
    return result | {"learned": False, "reason": "it does not fall"}
