"""A longer stretch of training, looked at lightly: where do losses, norms and rates go?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Fetched, Lab
from traindoctor.experiments.loop import (
    Loop,
    as_training_begins,
    finished,
    instruments,
    trains_by_hand,
)
from traindoctor.experiments.removals import WITHOUT
from traindoctor.experiments.user_loop import MAX_EPOCHS, run_user_loop
from traindoctor.instruments.dynamics import dynamics_seen
from traindoctor.instruments.recorder import Recorder, Stopped
from traindoctor.target.batches import batch_size
from traindoctor.trace import BatchRow, Trace
from traindoctor.trace.pulses import pulses_of

if TYPE_CHECKING:
    import torch

_RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # what optimizers and schedules keep in a group


@dataclass(frozen=True)
class LongRun(Experiment):
    """Many training steps over different batches, without any parameter's own figures.

    Attributes:
        num_batches: the most batches; a `train_loop` of the user's runs twice as many at most.
        factor: multiplies the learning rate of every group, and what its schedule starts from.
        max_seconds: it ends with the first batch after them.
        without: what is taken away for the run, a key of `removals.WITHOUT`; nothing by default.
    """

    num_batches: int = 60
    factor: float = 1.0
    max_seconds: float = 5.0
    without: str = ""

    name: ClassVar[str] = "long-run"
    cost: ClassVar[int] = 60

    def run(self, lab: Lab) -> Trace:
        """Return losses, backwards, steps, batches and pulses, and what the dynamics show."""
        recorder, start = Recorder(clock=lab.clock), lab.clock()
        optimizers = lab.optimizers()
        as_training_begins(lab)
        if self.factor != 1.0:
            _scale_rates(optimizers, lab.setup.scheduler, self.factor)
        change = WITHOUT[self.without](lab, optimizers) if self.without else nullcontext()
        seen = dynamics_seen(recorder, lab.anatomy.names)
        with change, seen, instruments(lab, recorder, detail=False):
            if lab.setup.train_loop is not None:
                run_user_loop(
                    lab,
                    recorder,
                    self.num_batches,
                    optimizers=optimizers,
                    deadline=start + self.max_seconds,
                    is_light=True,
                    epochs=self._epochs(lab),
                )
            else:
                loop = Loop(lab.setup, optimizers, recorder)
                self._train(lab, loop, start + self.max_seconds)
        seconds = lab.clock() - start
        recorder.facts |= {"seconds": seconds, "out_of_time": seconds > self.max_seconds}
        pulses = pulses_of(recorder.steps, recorder.backwards, recorder.batches)
        facts = replace(lab.anatomy.facts, trains_by_hand=trains_by_hand(lab.setup))
        return finished(lab, recorder, pulses=pulses, setup=facts)

    def _epochs(self, lab: Lab) -> int:
        """Return how many epochs make up the batches, for loops that are told."""
        length = lab.anatomy.facts.num_batches or self.num_batches
        return max(MAX_EPOCHS, math.ceil(self.num_batches / min(length, self.num_batches)))

    def _train(self, lab: Lab, loop: Loop, deadline: float) -> None:
        for fetched, epoch in _stream(lab, loop.recorder, self.num_batches):
            row = BatchRow(
                index=fetched.index,
                epoch=epoch,
                size=batch_size(fetched.batch),
                fetch_seconds=fetched.seconds,
            )
            loop.recorder.batches.append(row)
            if not loop.run([fetched]) or lab.clock() > deadline:
                break
            lab.on_progress(fetched.index + 1, self.num_batches, "training steps")


def _stream(lab: Lab, recorder: Recorder, number: int) -> Iterator[tuple[Fetched, int]]:
    """Yield as many batches with their epoch; a loader that ends begins anew.

    They are not kept, but for those of a loader that can be read once.
    """
    loader, index, epoch = lab.setup.loader, 0, 0
    if lab.batches(1) and iter(loader) is loader:
        while index < number and len(found := lab.batches(index + 1)) > index:
            yield found[index], 0
            index += 1
        return
    try:
        while index < number:
            first = index
            with recorder.watching("fetch"):
                iterator = iter(loader)
            while index < number:
                start = lab.clock()
                with recorder.watching("fetch"):
                    batch = next(iterator, _END)
                if batch is _END:
                    break
                yield Fetched(index, batch, lab.clock() - start), epoch
                index += 1
            epoch += 1
            if index == first:
                return
    except Stopped:
        return


_END: Any = object()


def _scale_rates(
    optimizers: Sequence[torch.optim.Optimizer], scheduler: Any, factor: float
) -> None:
    """Multiply the rates of the optimizers and of the schedules laid over them."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.update({name: group[name] * factor for name in _RATES if name in group})
    waiting = [scheduler]
    while waiting:
        scheduler = waiting.pop()
        waiting += getattr(scheduler, "_schedulers", [])
        if hasattr(scheduler, "base_lrs"):
            scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
