"""How long does a training step take, how much arithmetic is it, and how fast is the device?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, device_of, instruments
from traindoctor.experiments.read_batches import loader_facts
from traindoctor.experiments.speed import outlook, timing
from traindoctor.experiments.throughput import (
    flops_of,
    forward_alone,
    peak_flops,
    settled,
    wait,
)
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import batch_size, copy_batch
from traindoctor.trace import Trace

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class MeasureStep(Experiment):
    """A few steps timed without instruments, one counted in FLOPs, and a matrix product.

    Facts: `step_seconds`, of a batch that was differentiated; `idle_seconds`, of one that was
    not; `forward_seconds` where no batch was, or a run is claimed; then also `forward_rate`, the
    most samples a second that the forward makes of larger batches, of `forward_size` samples;
    `batch_size`; `num_samples` of the data set, where the loader has one that says; `flops` of
    one batch (matrix products, convolutions and attention); `peak_flops` a second. Each is None
    where it could not be had.

    Attributes:
        num_samples: of the data of a run that is said to have taken `seconds`.
        epochs: of that run; None where nobody said.
        seconds: of that run.
    """

    num_samples: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    num_batches: int = 8

    name: ClassVar[str] = "measure-step"
    cost: ClassVar[int] = 10

    def run(self, lab: Lab) -> Trace:
        """Return the facts."""
        as_training_begins(lab)
        device = device_of(lab.setup)
        train = self._user_loop if _has_own_loop(lab) else self._loop
        trained, idle = train(lab, self.num_batches)
        batches = lab.batches(1)
        facts: dict[str, Any] = {
            "step_seconds": settled(trained),
            "idle_seconds": settled(idle),
            "forward_seconds": None,
            "batch_size": batch_size(batches[0].batch) if batches else None,
            "num_samples": loader_facts(lab.setup.loader).get("num_samples"),
            "peak_flops": peak_flops(device, lab.clock),
        }
        if batches and (not trained or self.claimed is not None):
            facts |= forward_alone(lab, batches[0].batch, self.claimed is not None)
        facts["flops"] = facts.get("forward_flops")
        if trained:
            facts["flops"] = flops_of(lambda: train(lab, 1))
        return Trace(setup=lab.anatomy.facts, facts=facts)

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return the speed, and what it says of the claimed run."""
        figures = timing(trace.facts, self.claimed)
        figures["outlook"] = outlook(
            figures,
            samples=self.num_samples,
            epochs=self.epochs,
            seconds=self.seconds,
            in_loader=trace.facts["num_samples"],
        )
        return {"timing": figures | ({"outlook": None} if self.claimed else {})}

    @property
    def claimed(self) -> tuple[int, float] | None:
        """Samples seen and the seconds they are said to have taken."""
        if self.num_samples is None or self.seconds is None:
            return None
        return self.num_samples * (self.epochs or 1), self.seconds

    def _loop(self, lab: Lab, number: int) -> tuple[list[float], list[float]]:
        """Return the seconds of batches that were differentiated, and of the others."""
        recorder = Recorder(clock=lab.clock)
        loop = Loop(lab.setup, lab.optimizers(), recorder)
        trained: list[float] = []
        idle: list[float] = []
        fetched = lab.batches(1)
        with instruments(lab, recorder, detail=False):
            for _ in range(number if fetched else 0):
                before, start = recorder.num_passes, lab.clock()
                if not loop.run(fetched):
                    break
                wait()
                seconds = lab.clock() - start
                (trained if recorder.num_passes > before else idle).append(seconds)
        return trained, idle

    def _user_loop(self, lab: Lab, number: int) -> tuple[list[float], list[float]]:
        """Return the same of the user's own loop: the seconds between asking for batches."""
        recorder = Recorder(clock=lab.clock)
        trained: list[float] = []
        idle: list[float] = []
        fetched = lab.batches(1)

        def served() -> Iterator[Any]:
            for _ in range(number if fetched else 0):
                batch = copy_batch(fetched[0].batch)
                before, start = recorder.num_passes, lab.clock()
                yield batch
                wait()
                seconds = lab.clock() - start
                (trained if recorder.num_passes > before else idle).append(seconds)

        with instruments(lab, recorder, detail=False):
            run_user_loop(lab, recorder, number, instead=served())
        return trained, idle


def _has_own_loop(lab: Lab) -> bool:
    return lab.setup.train_loop is not None and lab.setup.train_step is None
