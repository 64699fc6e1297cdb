"""How long does a training step take, how much arithmetic is it, and how fast is the device?"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, device_of, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.anatomy import forward_signature
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import batch_size, copy_batch, split, to_device
from traindoctor.trace import Trace

if TYPE_CHECKING:
    import torch

NUM_WARM = 2  # steps before the clock counts


@dataclass(frozen=True)
class MeasureStep(Experiment):
    """A few steps timed without instruments, one counted in FLOPs, and a matrix product.

    Facts: `step_seconds`, of a batch that was differentiated; `idle_seconds`, of one that was
    not; `forward_seconds` where no batch was; `batch_size`; `flops` of one batch (matrix products,
    convolutions and attention); `peak_flops` a second. Each is None where it could not be had.

    Attributes:
        num_samples: of a run that is said to have taken `seconds`.
        epochs: of that run.
        seconds: of that run.
    """

    num_samples: int | None = None
    epochs: int = 1
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
            "step_seconds": _settled(trained),
            "idle_seconds": _settled(idle),
            "forward_seconds": None,
            "batch_size": batch_size(batches[0].batch) if batches else None,
            "peak_flops": peak_flops(device, lab.clock),
        }
        if trained:
            facts["flops"] = _flops(lambda: train(lab, 1))
        elif batches:
            facts |= _forward(lab, batches[0].batch)
        return Trace(setup=lab.anatomy.facts, facts=facts)

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return the speed, and what it says of the claimed run."""
        return {"timing": timing(trace.facts, self.claimed)}

    @property
    def claimed(self) -> tuple[int, float] | None:
        """Samples seen and the seconds they are said to have taken."""
        if self.num_samples is None or self.seconds is None:
            return None
        return self.num_samples * self.epochs, self.seconds

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
                _wait()
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
                _wait()
                seconds = lab.clock() - start
                (trained if recorder.num_passes > before else idle).append(seconds)

        with instruments(lab, recorder, detail=False):
            run_user_loop(lab, recorder, number, instead=served())
        return trained, idle


def timing(facts: dict[str, Any], claimed: tuple[int, float] | None) -> dict[str, Any]:
    """Return the figures of a speed: samples a second, their bound, and those of a claimed run.

    The bound is the device's measured peak over the FLOPs of a sample. `times_too_fast` is the
    claimed speed over the measured one, `plausible_seconds` what the run takes at the latter.
    """
    size, flops, peak = facts["batch_size"], facts.get("flops"), facts["peak_flops"]
    seconds = facts["step_seconds"] or facts["forward_seconds"]
    rate = size / seconds if size and seconds else None
    bound = peak * size / flops if peak and flops and size else None
    figures: dict[str, Any] = {
        "what": "step" if facts["step_seconds"] else "forward",
        "seconds": seconds,
        "batch_size": size,
        "samples_per_second": rate,
        "flops_per_sample": flops / size if flops and size else None,
        "peak_flops_per_second": peak,
        "most_samples_per_second": bound,
        "claim": None,
    }
    if claimed is not None and claimed[1] > 0:
        samples, took = claimed
        figures["claim"] = {
            "samples": samples,
            "seconds": took,
            "samples_per_second": samples / took,
            "times_too_fast": samples / took / rate if rate else None,
            "times_the_bound": samples / took / bound if bound else None,
            "plausible_seconds": samples / rate if rate else None,
        }
    return figures


def peak_flops(device: torch.device | None, clock: Callable[[], float]) -> float:
    """Return the most floating-point operations a second seen in a few large matrix products.

    On a GPU in bfloat16, which is the fastest that training commonly uses.
    """
    import torch

    is_cuda = device is not None and torch.device(device).type == "cuda"
    size, dtype = (8192, torch.bfloat16) if is_cuda else (768, torch.float32)
    a = torch.ones(size, size, dtype=dtype, device=device if is_cuda else None)
    best = float("inf")
    for _ in range(5):
        start = clock()
        a @ a
        _wait()
        best = min(best, clock() - start)
    return float(2 * size**3 / best)


def _has_own_loop(lab: Lab) -> bool:
    return lab.setup.train_loop is not None and lab.setup.train_step is None


def _settled(seconds: list[float]) -> float | None:
    """Return the median, the first few left out where enough are left."""
    kept = seconds[NUM_WARM:] if len(seconds) > NUM_WARM else seconds
    return statistics.median(kept) if kept else None


def _flops(act: Callable[[], Any]) -> int | None:
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        with counter:
            act()
    except Exception:  # some operations have no count, and some modules refuse its hooks
        return None
    return counter.get_total_flops() or None


def _forward(lab: Lab, batch: Any) -> dict[str, Any]:
    """Return time and FLOPs of the forward alone, given what of the batch it has names for."""
    import torch

    model, (inputs, _) = lab.setup.model, split(to_device(copy_batch(batch), device_of(lab.setup)))
    named, _ = forward_signature(model)

    def act() -> None:
        with torch.no_grad():
            if isinstance(inputs, dict):
                model(**{key: part for key, part in inputs.items() if key in named})
            else:
                model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)

    times = []
    try:
        for _ in range(5):
            start = lab.clock()
            act()
            _wait()
            times.append(lab.clock() - start)
    except Exception:  # the model refuses them: there is nothing to time
        return {}
    return {"forward_seconds": _settled(times), "flops": _flops(act)}


def _wait() -> None:
    """Let a GPU finish what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
