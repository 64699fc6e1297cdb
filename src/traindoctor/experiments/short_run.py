"""A few steps of training as the user would: their own loop or step, else the canonical loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import (
    Loop,
    clear_gradients,
    finished,
    instruments,
    loader_exception,
)
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.modules import ModuleCalls
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import describe
from traindoctor.trace import Trace

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ShortRun(Experiment):
    """Several training steps over different batches, every parameter measured at each.

    `num_batches` grows with declared accumulation, so that at least three steps are taken.
    """

    num_batches: int = 6

    name: ClassVar[str] = "short-run"
    cost: ClassVar[int] = 6

    def run(self, lab: Lab) -> Trace:
        """Return losses, backwards, steps, gradients, updates, modules and batches."""
        setup, recorder = lab.setup, Recorder(clock=lab.clock)
        number = max(self.num_batches, min(3 * setup.accumulation_steps, 64))
        calls = ModuleCalls(recorder, lab.anatomy)
        clear_gradients(lab)
        by_hand = bool(setup.train_loop or (setup.train_step and not setup.only_loss))
        before = _copies(lab) if by_hand else {}
        setup.model.train(setup.model.training or not by_hand)
        start = lab.clock()
        with instruments(lab, recorder), calls.watching():
            if setup.train_loop is not None:
                run_user_loop(lab, recorder, number)
            else:
                _run_steps(lab, recorder, number)
        seconds = lab.clock() - start
        raised = loader_exception(lab)
        if raised:
            recorder.exceptions.append(raised)
        recorder.facts.update(
            seconds=seconds,
            num_batches_asked=number,
            moved=_moved(lab, before),
        )
        facts = replace(lab.anatomy.facts, trains_by_hand=by_hand)
        return finished(lab, recorder, modules=calls.rows(), setup=facts)

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return loss curve, speed and the gradient flow by module."""
        from traindoctor.experiments.flow_table import flow_rows

        seconds, count = trace.facts.get("seconds", 0.0), len(trace.losses)
        samples = sum(row.size or 0 for row in trace.batches[:count])
        return {
            "loss_curve": {
                "x": list(range(count)),
                "y": [row.value for row in trace.losses],
            },
            "seconds_per_step": seconds / count if count else None,
            "samples_per_second": samples / seconds if seconds and samples else None,
            "gradient_norms": [row.gradient_norm for row in trace.steps],
            "gradient_flow": flow_rows(trace),
        }


def _run_steps(lab: Lab, recorder: Recorder, number: int) -> None:
    loop = Loop(lab.setup, lab.optimizers(), recorder)
    for count in range(1, number + 1):
        fetched = lab.batches(count)
        if len(fetched) < count:
            break
        last = fetched[-1]
        recorder.batches.append(describe(last.batch, last.index, 0, last.seconds))
        if not loop.run([last]):
            break
        lab.on_progress(count, number, "training steps")


def _copies(lab: Lab) -> dict[str, torch.Tensor]:
    """Keep the parameters: a hand-written loop may move them without any optimizer."""
    return {name: p.detach().clone() for name, p in lab.setup.model.named_parameters()}


def _moved(lab: Lab, before: dict[str, torch.Tensor]) -> tuple[str, ...] | None:
    """Name the parameters that differ bitwise from before; None where nobody kept them."""
    if not before:
        return None
    return tuple(
        name
        for name, p in lab.setup.model.named_parameters()
        if name in before and not p.is_meta and bool((p.detach() != before[name]).any())
    )
