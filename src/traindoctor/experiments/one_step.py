"""One training step looked at closely: where values go and what the loss functions get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import (
    Loop,
    as_training_begins,
    finished,
    instruments,
    loader_exception,
)
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.backward import graph_nodes
from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.modules import ModuleCalls
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.unregistered import places_among
from traindoctor.target.batches import as_mapping, describe
from traindoctor.trace import Trace


@dataclass(frozen=True)
class OneStep(Experiment):
    """Forward, loss, backward and step on one batch, every torch operation seen.

    A setup with only a `train_loop` has that run for one batch.

    Attributes:
        batch: which of the loader's.
        as_mapping: let the step have what the batch holds as a dict; not for a `train_loop`.
    """

    batch: int = 0
    as_mapping: bool = False

    name: ClassVar[str] = "one-step"
    cost: ClassVar[int] = 2

    def run(self, lab: Lab) -> Trace:
        """Return criteria, cuts, modules with their place in the graph, and the usual tables."""
        recorder, anatomy = Recorder(clock=lab.clock), lab.anatomy
        calls = ModuleCalls(recorder, anatomy, keep_outputs=True)
        criteria = Criteria(recorder)
        flow = Flow(recorder, anatomy.names, anatomy.trainable, [criteria])
        as_training_begins(lab)
        fetched = lab.batches(self.batch + 1)[self.batch :]
        if self.as_mapping:
            held = [(item, as_mapping(item.batch)) for item in fetched]
            fetched = [replace(item, batch=parts or item.batch) for item, parts in held]
        loss: Any = None
        with instruments(lab, recorder), calls.watching(), flow.watching():
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                run_user_loop(lab, recorder, 1)
            else:
                loop = Loop(lab.setup, lab.optimizers(), recorder)
                recorder.batches += [describe(f.batch, f.index, 0, f.seconds) for f in fetched]
                loop.run(fetched)
                loss = loop.last_loss
        loss = recorder.last_loss if recorder.last_loss is not None else loss
        raised = loader_exception(lab)
        if raised:
            recorder.exceptions.append(raised)
        nodes = graph_nodes(getattr(loss, "grad_fn", None))
        in_graph = {id(v) for n in nodes if (v := getattr(n, "variable", None)) is not None}
        recorder.criteria += criteria.finish()
        recorder.cuts += flow.finish(loss)
        recorder.facts["loss_type"] = type(loss).__name__ if loss is not None else None
        recorder.facts["in_graph"] = tuple(
            name for key, name in anatomy.names.items() if key in in_graph
        )
        recorder.facts["unregistered_in_graph"] = places_among(anatomy.lost, in_graph)
        return finished(lab, recorder, modules=calls.rows(nodes if nodes else None))
