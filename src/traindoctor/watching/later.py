"""The first steps of the trainings that follow a script's first one, seen as closely as those."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.hooks import Hooks
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.target.fingerprints import fingerprint
from traindoctor.trace import BatchRow, ModuleRow, Trace
from traindoctor.watching.opening import Opening
from traindoctor.watching.record import OPENING, WEIGHTS, seen_closely

if TYPE_CHECKING:
    from traindoctor.watching.scene import Scene
    from traindoctor.watching.session import Session

MOST = 3  # trainings after the first that are seen closely


class Later:
    """Another training begins when a model is called after another optimizer was built.

    What goes on with an optimizer of before is the same training still, and is let go.

    Attributes:
        opening: of the training that has begun; None when it was seen enough of.
        begun: for each training seen, the run's steps before it.
        traces: what was seen, by the name of the trace.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.opening: Opening | None = None
        self.begun: list[int] = []
        self.traces: dict[str, Trace] = {}
        self._known = 0  # optimizers that were built before
        self._seen: set[int] = set()  # parameters of trainings before, by `id`
        self._trained: set[int] = set()  # of these, what an optimizer held
        self._spent = 0.0

    def first_is_over(self) -> None:
        """Take in that the first training was seen enough of: from here on another may begin."""
        self._known = self.session.scene.num_optimizers
        self._seen |= set(self.session.names)
        self._trained |= _held(self.session.scene)

    def root_called(self, module: Any, inputs: Any) -> None:
        """Take in a call by the script itself of a module that learns, with gradients."""
        scene = self.session.scene
        if self.opening is None and scene.num_optimizers > self._known and len(self.begun) < MOST:
            self._begin()
        if self.opening is not None:
            self.opening.root_called(module)
            self._note_batch(self.opening.recorder, inputs)

    def _note_batch(self, recorder: Recorder, inputs: Any) -> None:
        """Keep what tells this batch from others: what the model is first given of it."""
        if all(row.index != recorder.batch for row in recorder.batches):
            recorder.batches.append(BatchRow(index=recorder.batch, digest=fingerprint(inputs)))

    def _begin(self) -> None:
        session = self.session
        scene = session.scene.since(self._known)
        self._known = session.scene.num_optimizers
        if session.loaders is not None:
            scene.loader = session.loaders.in_use() or ()
        self._spent = session.governor.seconds
        self.begun.append(session.recorder.step)
        recorder = Recorder(clock=session.clock, phase="train_loop", batch=0)
        self.opening = session.watcher = Opening(recorder, scene, Hooks(None))

    def backward_begins(self, tensors: Any, kwargs: Any) -> None:
        """Take in that something is differentiated."""
        if self.opening is not None:
            first = tensors[0] if isinstance(tensors, list | tuple) else tensors
            self.opening.backwards.begins(tensors, kwargs, here())
            self.opening.zeros.before_backward(first)

    def backward_ended(self, seconds: float) -> None:
        """Take in that it is over."""
        if self.opening is not None:
            self.opening.backwards.ends(seconds)

    def step_begins(self, optimizer: Any) -> None:
        """Take in that an optimizer steps."""
        if self.opening is None:
            return
        if all(optimizer is not known for known in self.opening.scene.optimizers()):
            self._let_go()
            self.begun.pop()
        else:
            self.opening.step_begins(optimizer)

    def step_ended(self, optimizer: Any) -> None:
        """Take in that it has stepped."""
        if self.opening is not None:
            self.opening.steps.after(optimizer)
            self.opening.zeros.after_step()
            if not self.session.batches.has_loader:
                self.batch_asked()
                self.batch_given()

    def batch_asked(self) -> None:
        """Take in that the script is between two batches."""
        if self.opening is not None and not self.opening.boundary():
            self.close()

    def batch_given(self) -> None:
        """Take in that it has the next."""
        if self.opening is not None:
            self.opening.recorder.batch += 1

    def close(self) -> None:
        """Keep what was seen of the training that has begun."""
        if self.opening is None:
            return
        self._keep(self.opening, is_over=True)
        self._seen |= set(self.opening.names)
        self._trained |= _held(self.opening.scene)
        self._let_go()

    def up_to_date(self) -> dict[str, Trace]:
        """Return what was seen by now, by the name of the trace."""
        if self.opening is not None:
            self._keep(self.opening)
        return self.traces

    def _keep(self, opening: Opening, is_over: bool = False) -> None:
        known = {name for key, name in opening.names.items() if key in self._seen}
        before = {name for key, name in opening.names.items() if key in self._trained}
        now = opening.trace(is_over)
        resting = {
            row.name: row.num_elements
            for row in now.parameters
            if row.requires_grad and not row.num_optimizers and row.name in before
        }
        seen = {OPENING: now, **seen_closely(opening)}
        found = {name: _at_rest(trace, resting) for name, trace in seen.items()}
        if WEIGHTS in found:  # those that were trained before are no initial ones
            new = [row for row in found[WEIGHTS].weights if row.name not in known]
            found[WEIGHTS] = replace(found[WEIGHTS], weights=tuple(new))
        self.traces |= {trace_name(len(self.begun), name): trace for name, trace in found.items()}

    def _let_go(self) -> None:
        session, opening = self.session, self.opening
        self.opening = session.watcher = None
        if opening is not None:
            opening.close()
        session.governor.excuse(session.governor.seconds - self._spent)


def _held(scene: Scene) -> set[int]:
    return {id(p) for o in scene.optimizers() for g in o.param_groups for p in g["params"]}


def _at_rest(trace: Trace, resting: dict[str, int]) -> Trace:
    """Return a training's trace in which some parameters, with so many elements, count as frozen.

    They are those that another training had and no optimizer of this one holds: an input that is
    optimized through a trained network, or a head on it, is trained alone.
    """
    if not resting:
        return trace

    # What the optimizers hold beside the model stands in for nothing, unless something new is left.
    is_all = all(
        row.name in resting or row.num_optimizers or not row.requires_grad
        for row in trace.parameters
    )

    def left(row: ModuleRow) -> int:
        start = f"{row.path}." if row.path else ""
        return row.num_trainable - sum(n for name, n in resting.items() if name.startswith(start))

    return replace(
        trace,
        parameters=tuple(
            replace(row, requires_grad=False) if row.name in resting else row
            for row in trace.parameters
        ),
        modules=tuple(replace(row, num_trainable=max(left(row), 0)) for row in trace.modules),
        optimizers=tuple(
            replace(row, num_lookalikes=0) if is_all else row for row in trace.optimizers
        ),
    )


def trace_name(number: int, name: str) -> str:
    """Return what a trace of a later training is called; the first of these is 1."""
    return f"later-{number}/{name}"
