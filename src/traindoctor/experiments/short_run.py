"""A few steps of training as the user would: their own loop or step, else the canonical loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import (
    Loop,
    as_training_begins,
    finished,
    instruments,
    loader_exception,
    trains_by_hand,
)
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.before import Before, Move
from traindoctor.instruments.dynamics import dynamics_seen
from traindoctor.instruments.handled import handled_seen
from traindoctor.instruments.handling import handling_seen
from traindoctor.instruments.holdings import schedulers_of
from traindoctor.instruments.hooks import hooks_seen
from traindoctor.instruments.modules import ModuleCalls
from traindoctor.instruments.norms import norms
from traindoctor.instruments.passes import Passes
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import Place, Trace


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
        as_training_begins(lab)
        recorder.handled += setup.handled
        by_hand = trains_by_hand(setup)
        before = Before(list(setup.model.parameters())) if by_hand else None
        sizes = _sizes(lab)
        start = lab.clock()
        with (
            dynamics_seen(recorder, lab.anatomy.names),
            instruments(lab, recorder),
            calls.watching(),
            handled_seen(recorder),
            hooks_seen(setup, recorder),
            handling_seen(
                recorder,
                setup.optimizers,
                schedulers_of(setup),
                setup.built_at,
                setup.checkpoints,
            ),
        ):
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
            moved=_moved(lab, before, sizes),
            discarded_backwards=tuple(recorder.ledger.discarded),
        )
        facts = replace(lab.anatomy.facts, trains_by_hand=by_hand)
        return finished(lab, recorder, modules=calls.rows(), setup=facts)

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return loss curve, speed and the gradient flow by module."""
        from traindoctor.experiments.accounts import backward_account, phase_account, step_account
        from traindoctor.experiments.flow_table import flow_rows

        seconds, count = trace.facts.get("seconds", 0.0), len(trace.losses)
        samples = sum(row.size or 0 for row in trace.batches[:count])
        return {
            "loss_curve": {
                "x": list(range(count)),
                "y": [row.value for row in trace.losses],
            },
            "seconds_per_step": seconds / count if count else None,
            "phase_seconds": phase_account(trace),
            "samples_per_second": samples / seconds if seconds and samples else None,
            "gradient_norms": [row.gradient_norm for row in trace.steps],
            "gradient_flow": flow_rows(trace),
            "steps": step_account(trace),
            "backward": backward_account(trace),
        }


def _run_steps(lab: Lab, recorder: Recorder, number: int) -> None:
    loop = Loop(lab.setup, lab.optimizers(), recorder)
    passes = Passes(recorder, keeps_all=True)
    on = passes.begin(lab.setup.loader, Place(), is_by_user=False)
    for count in range(1, number + 1):
        fetched = lab.batches(count)
        if len(fetched) < count:
            break
        last = fetched[-1]
        passes.fetched(on, last.batch, last.seconds)
        if not loop.run([last]):
            break
        lab.on_progress(count, number, "training steps")
    passes.over(on, is_cut=on.num_batches == number or bool(recorder.exceptions))
    passes.finish()


def _sizes(lab: Lab) -> dict[str, float]:
    """Return each parameter's norm: it tells whether a forward moved it (a running average)."""
    found = list(lab.setup.model.named_parameters())
    sizes = norms([p.detach() for _, p in found])
    return {name: size for (name, _), size in zip(found, sizes, strict=True)}


def _moved(lab: Lab, before: Before | None, sizes: dict[str, float]) -> tuple[str, ...]:
    """Name the parameters that differ from before: by their values where kept, and by norm."""
    parameters = dict(lab.setup.model.named_parameters())
    moves: Sequence[Move] = ()
    if before is not None and [*parameters] == [*sizes]:  # the loop may exchange some
        moves = before.moves(list(parameters.values()))
    moved = {name for name, move in zip(parameters, moves, strict=False) if move.share}
    now = _sizes(lab)
    return tuple(name for name in now if name in moved or now[name] != sizes.get(name, now[name]))
