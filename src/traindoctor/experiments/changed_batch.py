"""Takes the loss of one batch again and again, one thing in the batch changed each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments.changes import AGAIN, INPUTS_PERMUTED, PLAIN, Changes
from traindoctor.experiments.lab import Experiment, Fetched, Lab, seed_everything
from traindoctor.experiments.loop import Loop, as_training_begins, instruments
from traindoctor.experiments.removals import no_dropout
from traindoctor.experiments.sight import Sight
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.experiments.uses import Uses
from traindoctor.instruments.anatomy import forward_signature
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import copy_batch
from traindoctor.target.calling import wants_targets
from traindoctor.target.setup import TARGET_NAMES
from traindoctor.target.snapshot import Snapshot
from traindoctor.trace import EvaluationRow, GradientRow, Place, Trace

if TYPE_CHECKING:
    from traindoctor.target.setup import TrainingSetup


@dataclass(frozen=True)
class ChangedBatch(Experiment):
    """The loss and the gradients of the first batch, as it is and with one thing changed.

    All are taken from one state and one seed, with dropout at zero, after a few steps on that
    batch: a head that starts at zero hides what comes before it. Evaluations hold the loss by what
    was changed (see `traindoctor.experiments.changes`); one that could not be had has none.

    Facts: `same_gradients`, the changes that leave every gradient as it is; `gradient_norm`, of the
    plain batch; `padding`, what is known of the batch's padding; `sight`, what the loss function's
    input sees of the tokens (see `traindoctor.experiments.sight`); `label_uses`, operations that
    were given the labels, and where; `label_keys`, what the batch calls them; `wants_labels`,
    "loss_fn" or "forward" where these have a parameter for them; `loss_place`, the user's line that
    calls the loss function or differentiates.
    """

    num_steps: int = 3
    max_seconds: float = 6.0

    name: ClassVar[str] = "changed-batch"
    cost: ClassVar[int] = 15

    def run(self, lab: Lab) -> Trace:
        """Return the losses.

        Raises:
            ExperimentFailed: there is no batch, or nothing to go back to between the changes.
        """
        fetched = lab.batches(1)
        if not fetched:
            raise ExperimentFailed("the loader gave no batch")
        if not lab.restore:
            raise ExperimentFailed("it needs a copy of the setup to go back to")
        if self.num_steps:
            self._train(lab, fetched[0])
        trials = _Trials(lab, Snapshot.take(lab.setup))
        deadline = lab.clock() + self.max_seconds
        for label, batch in self._batches(lab.setup, fetched[0].batch, trials):
            trials.take(label, Fetched(0, batch, 0.0))
            if lab.clock() > deadline or PLAIN not in trials.losses:
                break
        rows = (EvaluationRow(label=k, value=loss) for k, loss in trials.losses.items())
        return Trace(
            setup=lab.anatomy.facts,
            parameters=lab.anatomy.parameters,
            optimizers=lab.anatomy.optimizer_rows,
            evaluations=tuple(rows),
            facts=trials.facts() | {"wants_labels": _wants_labels(lab.setup)},
        )

    def _train(self, lab: Lab, first: Fetched) -> None:
        recorder = Recorder(clock=lab.clock)
        as_training_begins(lab)
        with instruments(lab, recorder, detail=False), no_dropout(lab.setup.model):
            _pass(lab, recorder, [first] * self.num_steps)

    def _batches(
        self, setup: TrainingSetup, batch: Any, trials: _Trials
    ) -> Iterator[tuple[str, Any]]:
        """Yield the batches, the plain ones first: what is done to it depends on nothing."""
        yield PLAIN, batch
        yield AGAIN, batch
        changes = Changes(batch, setup.model)
        trials.padding = changes.padding
        trials.sight.begin(changes.tokens, changes.later)
        trials.uses.labels = changes.labels
        trials.label_keys = changes.label_keys
        for change in changes.made():
            yield change.label, change.batch


@dataclass
class _Trials:
    """What came of each batch, from one state."""

    lab: Lab
    state: Snapshot
    losses: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, tuple[GradientRow, ...]] = field(default_factory=dict)
    padding: dict[str, Any] | None = None
    sight: Sight = field(default_factory=Sight)
    uses: Uses = field(default_factory=Uses)
    label_keys: list[str] = field(default_factory=list)
    place: Place = Place()

    def take(self, label: str, fetched: Fetched) -> None:
        """Train on a batch once, keep its loss and gradients, and go back."""
        recorder = Recorder(clock=self.lab.clock)
        model = self.lab.setup.model
        model.zero_grad(set_to_none=True)
        seed_everything()
        with ExitStack() as stack:
            stack.enter_context(no_dropout(model))
            stack.enter_context(instruments(self.lab, recorder))
            stack.enter_context(self.sight.watching(label))
            if label == INPUTS_PERMUTED:  # in which the labels are what they are
                stack.enter_context(self.uses.watching())
            _pass(self.lab, recorder, [fetched])
        self.state.restore()
        if recorder.losses and not recorder.exceptions:
            self.losses[label] = recorder.losses[0].value
            first = min((row.step for row in recorder.gradients), default=0)
            kept = (row for row in recorder.gradients if row.step == first)
            self.gradients[label] = tuple(kept)
        if label == PLAIN:
            backward = recorder.backwards[0].place if recorder.backwards else Place()
            self.place = self.sight.place or backward

    def facts(self) -> dict[str, Any]:
        """Return what the trace says besides the losses."""
        plain = self.gradients.get(PLAIN, ())
        same = (label for label, rows in self.gradients.items() if plain and rows == plain)
        return {
            "same_gradients": tuple(same),
            "gradient_norm": sum(row.rms**2 for row in plain) ** 0.5,
            "label_uses": tuple(self.uses.seen),
            "label_keys": tuple(self.label_keys),
            "padding": self.padding,
            "sight": self.sight.facts(),
            "loss_place": self.place,
        }


def _wants_labels(setup: TrainingSetup) -> str:
    if setup.loss_fn is not None:
        return "loss_fn" if wants_targets(setup.loss_fn) else ""
    named, _ = forward_signature(setup.model)
    return "forward" if setup.train_step is None and set(named) & set(TARGET_NAMES) else ""


def _pass(lab: Lab, recorder: Recorder, batches: list[Fetched]) -> None:
    if lab.setup.train_loop is not None and lab.setup.train_step is None:
        recorder.batch = 0
        served = (copy_batch(item.batch) for item in batches)
        run_user_loop(lab, recorder, len(batches), instead=served)
    else:
        loop = Loop(lab.setup, lab.optimizers(), recorder, False, accumulation_steps=1)
        loop.run(batches)
