"""Is the gradient of several batches that are accumulated their sum or their mean?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.errors import ExperimentFailed, words_of
from traindoctor.experiments.lab import Experiment, Lab, seed_everything
from traindoctor.experiments.loop import Loop, as_training_begins, device_of, instruments
from traindoctor.experiments.removals import no_dropout
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.backward import gradient_norms
from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.handling import handling_seen
from traindoctor.instruments.holdings import schedulers_of
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import copy_batch, to_device
from traindoctor.trace import Trace


@dataclass(frozen=True)
class AccumulatedGradient(Experiment):
    """The user's own accumulation over one batch served again and again, with dropout at zero.

    Facts: `first_norm` of the gradient after the first backward pass, `step_norm` when the
    optimizer steps (before clipping), `loss` as it was differentiated first, and the usual tables.
    Of a `transformers.Trainer`: `is_divided`, its loss is divided, by the number of batches or of
    labels.

    Attributes:
        num_batches: that are accumulated for a step.
    """

    num_batches: int = 4

    name: ClassVar[str] = "accumulated-gradient"
    cost: ClassVar[int] = 6

    def run(self, lab: Lab) -> Trace:
        """Return the facts.

        Raises:
            ExperimentFailed: there is no batch, no step was taken, or the Trainer raised.
        """
        fetched = lab.batches(1)
        if not fetched:
            raise ExperimentFailed("the loader gave no batch")
        as_training_begins(lab)
        if lab.setup.trainer is not None:
            facts = {"is_divided": self._is_divided(lab, fetched[0].batch)}
            return Trace(setup=lab.anatomy.facts, facts=facts)
        recorder = Recorder(clock=lab.clock)
        criteria, norms = Criteria(recorder), list[float]()
        setup = lab.setup

        def note() -> None:
            sizes = gradient_norms(lab.anatomy.trainable).values()
            norms.append(sum(size * size for size in sizes) ** 0.5)

        recorder.after_backward.append(note)
        with (
            no_dropout(setup.model),
            instruments(lab, recorder),
            Flow(recorder, {}, (), [criteria]).watching(),
            handling_seen(
                recorder, setup.optimizers, schedulers_of(setup), setup.built_at, setup.checkpoints
            ),
        ):
            if setup.train_loop is not None and setup.train_step is None:
                batches = (copy_batch(fetched[0].batch) for _ in range(self.num_batches))
                run_user_loop(lab, recorder, self.num_batches, instead=batches)
            else:
                loop = Loop(setup, lab.optimizers(), recorder)
                loop.run(fetched * self.num_batches)
        if not recorder.steps or len(norms) < self.num_batches:
            raise ExperimentFailed("the loop did not step after so many batches")
        recorder.criteria += criteria.rows
        recorder.facts |= {
            "first_norm": norms[0],
            "step_norm": recorder.steps[0].gradient_norm,
            "loss": recorder.backwards[0].loss,
        }
        trace = recorder.trace(setup=lab.anatomy.facts, optimizers=lab.anatomy.optimizer_rows)
        clipped = next((row.norms[0] for row in trace.clips if row.norms), None)
        if clipped is not None:
            trace.facts["step_norm"] = clipped
        return trace

    def _is_divided(self, lab: Lab, batch: Any) -> bool:
        """Tell what a Trainer's accumulation makes of the loss: asked with one label count and two.

        What is not divided by the count of labels it was given, and is taken for divided, is not.
        """
        trainer: Any = lab.setup.trainer
        batches = [to_device(copy_batch(batch), device_of(lab.setup))] * self.num_batches
        try:
            count = trainer._get_num_items_in_batch(batches, device_of(lab.setup))
            is_scaled = getattr(trainer, "loss_is_scaled_for_ga", None)
            if is_scaled is None:
                takes = trainer.model_accepts_loss_kwargs and count is not None
                is_scaled = takes or trainer.compute_loss_func is not None
            if not is_scaled or count is None:
                return True
            losses = []
            for number in (count, 2 * count):
                seed_everything()
                inputs = trainer._prepare_inputs(copy_batch(batches[0]))
                loss = trainer.compute_loss(trainer.model, inputs, num_items_in_batch=number)
                losses.append(float(loss.detach()))
        except Exception as error:  # other versions of it have other parts; user code may raise
            raise ExperimentFailed(
                f"the Trainer's loss cannot be had: {words_of(error)}"
            ) from error
        return losses[0] != losses[1]
