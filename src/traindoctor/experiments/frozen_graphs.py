"""What do frozen modules cost that are called with gradients on?"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.modules import tensors_of
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.saved import Saved
from traindoctor.target.batches import map_tensors
from traindoctor.trace import FrozenRow, Trace

if TYPE_CHECKING:
    import torch

NUM_TRIALS = 5


@dataclass(frozen=True)
class FrozenGraphs(Experiment):
    """One step, weighed, then some modules called again with and without gradients.

    Attributes:
        modules: their paths; none of them inside another.
    """

    modules: tuple[str, ...]

    name: ClassVar[str] = "frozen-graphs"
    cost: ClassVar[int] = 3

    def run(self, lab: Lab) -> Trace:
        """Return one row a module that was called."""
        recorder, model = Recorder(clock=lab.clock), lab.setup.model
        chosen = {path: model.get_submodule(path) for path in self.modules}
        saved = Saved(chosen, model.parameters())
        recorder.on_backward.append(saved.close)
        as_training_begins(lab)
        with instruments(lab, recorder, detail=False), saved.watching():
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                run_user_loop(lab, recorder, 1)
            else:
                Loop(lab.setup, lab.optimizers(), recorder).run(lab.batches(1))
        trained = {id(p) for p in model.parameters() if p.requires_grad}
        trained |= {id(p) for o in lab.optimizers() for g in o.param_groups for p in g["params"]}
        rows = []
        for path, call in saved.calls.items():
            leaves = saved.leaves[path]
            row = FrozenRow(
                module=path,
                learns=not leaves or bool(leaves & trained),
                num_bytes=saved.inside[path],
                step_bytes=saved.step,
            )
            rows.append(row if row.learns else _timed(lab, row, chosen[path], call))
        return replace(finished(lab, recorder), frozen=tuple(rows))


def _timed(lab: Lab, row: FrozenRow, module: torch.nn.Module, call: tuple[Any, Any]) -> FrozenRow:
    """Add how long the module takes with its graph and without."""
    import torch

    args, kwargs = map_tensors(call, lambda t: t.detach().requires_grad_(t.requires_grad))

    def with_graph() -> None:
        outputs = [t for t in tensors_of(module(*args, **kwargs)) if t.grad_fn is not None]
        if outputs:
            torch.autograd.backward([t.float().sum() for t in outputs])

    def without() -> None:
        with torch.no_grad():
            module(*args, **kwargs)

    return replace(
        row,
        seconds_with_graph=_median_seconds(lab, with_graph),
        seconds_without=_median_seconds(lab, without),
    )


def _median_seconds(lab: Lab, act: Callable[[], None]) -> float:
    """Return the median time of a few calls; on a GPU each is waited for."""
    import torch

    times = []
    for _ in range(NUM_TRIALS):
        start = lab.clock()
        act()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(lab.clock() - start)
    return statistics.median(times)
