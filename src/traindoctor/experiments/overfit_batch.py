"""Trains on one batch until its loss reaches its floor: can this setup learn anything at all?"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments.curves import (
    MOVED_SHARE,
    is_stochastic,
    noise_of,
    outcome,
    settled,
    worsened,
)
from traindoctor.experiments.floors import Floor
from traindoctor.experiments.lab import Experiment, Fetched, Lab
from traindoctor.experiments.loop import Loop, clear_gradients, finished, instruments
from traindoctor.experiments.one_batch import OneBatch
from traindoctor.experiments.removals import LOW_PRECISION, WITHOUT
from traindoctor.experiments.samples import few_samples, standardised, undisputed_samples
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import map_tensors
from traindoctor.trace import Trace

if TYPE_CHECKING:
    import torch

MODES_SECONDS = 2.0  # for running statistics to follow, where eval mode is wrong
ENOUGH_STEPS = 60  # before a curve is called settled, or fallen enough


@dataclass(frozen=True)
class OverfitBatch(Experiment):
    """One batch, many steps; it ends when the loss has reached its floor or come to rest.

    Attributes:
        steps: the most steps taken.
        learning_rate: for every parameter group; None leaves the setup's own.
        factor: multiplies every group's learning rate.
        fresh: use the doctor's AdamW over all trainable parameters, not the setup's optimizer.
        target_loss: stop there; None stops when 2 % of the way to the floor is left.
        max_seconds: the time it may take.
        batch: which of the loader's batches.
        without: what is taken away for the run, a key of `removals.WITHOUT`; nothing by default.
        samples: how many of its samples are used, of different labels where it has labels;
            None uses all.
        standardised: give the floating-point inputs mean 0 and deviation 1 first.
        undisputed: leave samples out whose inputs came before with other labels.
    """

    steps: int = 200
    learning_rate: float | None = None
    factor: float = 1.0
    fresh: bool = False
    target_loss: float | None = None
    max_seconds: float = 20.0
    batch: int = 0
    without: str = ""
    samples: int | None = None
    standardised: bool = False
    undisputed: bool = False

    name: ClassVar[str] = "overfit-batch"
    cost: ClassVar[int] = 60

    def run(self, lab: Lab) -> Trace:
        """Return losses, steps, and what the loss functions get when the training has ended.

        `facts["overfit"]` says how far it came and whether that is learning; see
        `traindoctor.experiments.curves.outcome`. `facts["modes"]` says what eval mode makes of a
        batch that was learned; see `traindoctor.experiments.both_modes`.

        Raises:
            ExperimentFailed: there is no batch, or it cannot be cut down to the samples asked for.
        """
        setup, fetched = lab.setup, self._batch(lab)
        recorder = Recorder(clock=lab.clock)
        optimizers = self._optimizers(lab)
        clear_gradients(lab)
        setup.model.train()
        change = WITHOUT[self.without](lab, optimizers) if self.without else nullcontext()
        with change, instruments(lab, recorder, detail=False):
            loop = Loop(setup, optimizers, recorder, with_schedule=False, accumulation_steps=1)
            run = OneBatch(lab, loop, fetched)
            run.try_out()
            seconds = self._train(run) if run.trials else 0.0
            after = run.at_rest(recorder.criteria) if run.losses else []
            rates = [row.learning_rates for row in recorder.steps if row.learning_rates]
            num_steps = len(run.losses)
            facts = recorder.facts["overfit"] = self._judged(run, after, len(optimizers))
            end = lab.clock() + MODES_SECONDS
            is_learned = facts["course"] == "reached"
            modes = run.in_both_modes(lambda: lab.clock() < end) if is_learned else None
        del recorder.losses[num_steps:]  # of a second look at a loop of the user's
        recorder.facts["modes"] = modes
        recorder.facts["overfit"] |= worsened(run.called, recorder.criteria, run.floor) | {
            "learning_rate": rates[0][0] if rates else None,
            "rates_vary": any(rate != rates[0] for rate in rates),
            "optimizer": type(optimizers[0]).__name__,
            "steps": num_steps,
            "steps_asked": self.steps,
            "out_of_time": seconds > self.max_seconds,
            "seconds": seconds,
        }
        return finished(lab, recorder)

    def _judged(self, run: OneBatch, after: list[float], num_optimizers: int) -> dict[str, Any]:
        """Return the outcome; a user's own loop is accused by what it gives without noise."""
        judge = partial(
            outcome,
            trials=run.trials,
            losses=run.losses,
            target=self.target_loss,
            num_optimizers=num_optimizers,
        )
        facts = judge(floor=run.floor, before=run.before, after=after)
        is_accused = facts["learned"] is False and run.floor.value is not None
        if not (is_accused and run.trains_by_hand):
            return facts
        still = run.standing_still(run.loop.recorder.criteria)
        if is_stochastic(still):
            run.floor = Floor(None, "the objective draws noise of its own")
            return judge(floor=run.floor) | {"stochastic": True}
        return judge(floor=run.floor, before=run.trials[:1] * 2, after=still)

    @property
    def title(self) -> str:
        """What is different about this run, in words."""
        rate = f"the rate times {self.factor:g}" if self.factor != 1.0 else ""
        rate = f"AdamW at {self.learning_rate or 1e-3:g}" if self.fresh else rate
        without = f"without {self.without}" if self.without else ""
        samples = f"{self.samples} samples" if self.samples else ""
        samples = "undisputed samples" if self.undisputed else samples
        return ", ".join(filter(None, ("one batch", rate, without, samples)))

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return the curve and the verdict of the run with the setup's own settings."""
        changed = self.fresh or self.without or self.samples or self.undisputed
        changed = changed or self.standardised or self.factor != 1.0
        if changed or "overfit" not in trace.facts:
            return {}
        losses = [row.value for row in trace.losses]
        curve = {"x": list(range(len(losses))), "y": losses}
        return {"overfit": trace.facts["overfit"] | {"curve": curve}}

    def _batch(self, lab: Lab) -> Fetched:
        found = lab.batches(self.batch + 1)[self.batch :]
        if not found:
            raise ExperimentFailed("the loader gave no batch")
        batch = found[0].batch
        if self.samples is not None:
            batch = few_samples(batch, self.samples)
        elif self.standardised:
            batch = standardised(batch)
        elif self.undisputed:
            batch = undisputed_samples(batch)
            if batch is None:
                raise ExperimentFailed("no two samples contradict each other")
        if batch is None:
            raise ExperimentFailed("the batch cannot be cut into samples")
        if self.without == LOW_PRECISION:
            batch = map_tensors(batch, lambda t: t.float() if t.is_floating_point() else t)
        return replace(found[0], batch=batch)

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

    def _train(self, run: OneBatch) -> float:
        lab, start = run.lab, run.lab.clock()

        def has_ended(step: int) -> bool:
            lab.on_progress(step, self.steps, f"loss {run.losses[-1]:.4g}")
            return self._has_ended(run) or lab.clock() - start > self.max_seconds

        run.train(self.steps, has_ended)
        return lab.clock() - start

    def _has_ended(self, run: OneBatch) -> bool:
        loss, floor = run.losses[-1], run.floor.value
        start = min(run.trials[0], run.floor.guess)
        if not math.isfinite(loss):
            return True
        if self.target_loss is not None:
            return loss <= self.target_loss
        if floor is not None:
            goal = floor + 0.02 * (start - floor)
            if max(run.losses[-3:]) <= goal and len(run.losses) >= 3:
                return True
        if len(run.losses) < ENOUGH_STEPS or len(run.losses) % 10:
            return False
        way = abs(start) if floor is None else start - floor
        if floor is None and start - loss > MOVED_SHARE * way:
            return True
        return settled(run.losses, noise_of(run.trials, run.losses), run.floor.guess)
