"""Tries each of the user's forward hooks with the other kinds of output that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.contained import TooLarge, call_contained
from traindoctor.instruments.hooks import Hook, Hooks
from traindoctor.instruments.output_kinds import examples
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.usercode import raised_place
from traindoctor.trace import HookRow, Place, Trace


@dataclass(frozen=True)
class TryHooks(Experiment):
    """One batch in which a hook that raises is passed over; then each forward hook, called again.

    It is called outside training, with an example of each kind of output, up to the first call
    that leaves computing; what it wrote to is given back. Without hooks nothing runs.
    """

    name: ClassVar[str] = "try-hooks"
    cost: ClassVar[int] = 3

    def run(self, lab: Lab) -> Trace:
        """Return the hooks with what they raised on each kind of output."""
        hooks, recorder = Hooks(lab.setup, keeps_going=True), Recorder(clock=lab.clock)
        with hooks.watching():
            if hooks.hooks:
                _train_one_batch(lab, recorder)
        recorder.hooks += [_tried(hook) for hook in hooks.hooks]
        return finished(lab, recorder)


def _train_one_batch(lab: Lab, recorder: Recorder) -> None:
    as_training_begins(lab)
    with instruments(lab, recorder, detail=False):
        if lab.setup.train_loop is not None:
            run_user_loop(lab, recorder, 1)
        else:
            Loop(lab.setup, lab.optimizers(), recorder).run(lab.batches(1))


def _tried(hook: Hook) -> HookRow:
    """Return a hook's row, its trials included; a hook that holds too much is not tried."""
    if hook.kind != "forward":
        return hook.row()
    *before, seen = hook.last or (hook.module, (), None)
    kinds, possible = examples(hook.module, seen)
    tried: list[tuple[str, str]] = []
    place = Place()
    for kind, example in kinds.items():
        try:
            error = call_contained(hook.function, *before, example)
        except TooLarge:
            break
        tried.append((kind, _failure(error)))
        if tried[-1][1] and error is not None:
            place = place or raised_place(error.__traceback__)
    return hook.row(possible=possible, tried=tuple(tried), tried_place=place)


def _failure(error: Any) -> str:
    """Return the error where it is about the kind; shapes and keys are the examples' own."""
    if not isinstance(error, AttributeError | TypeError | NotImplementedError):
        return ""
    return f"{type(error).__name__}: {str(error)[:300]}"
