"""Tries each of the user's forward hooks with the other kinds of output that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.errors import told
from traindoctor.experiments.hook_table import hook_rows
from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.contained import TooLarge, call_contained
from traindoctor.instruments.entries import Entries
from traindoctor.instruments.hooks import Hook, Hooks
from traindoctor.instruments.output_kinds import examples
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.usercode import raised_place
from traindoctor.trace import HookRow, Place, Trace


@dataclass(frozen=True)
class TryHooks(Experiment):
    """One batch in which a hook that raises is passed over; then each forward hook, called again.

    It is called outside training, with an example of each kind of output, up to the first call
    that leaves computing; what it wrote to is given back. A module of the user's that was entered
    past its forward has that called once, with the arguments of the method that was. Without
    hooks nothing runs.
    """

    name: ClassVar[str] = "try-hooks"
    cost: ClassVar[int] = 3

    def run(self, lab: Lab) -> Trace:
        """Return the hooks with what they raised on each kind of output."""
        hooks, recorder = Hooks(lab.setup, keeps_going=True), Recorder(clock=lab.clock)
        entries = Entries()
        with hooks.watching():
            modules = {id(hook.module): hook.module for hook in hooks.hooks}
            if hooks.hooks:
                with entries.watching(modules.values()):
                    _train_one_batch(lab, recorder)
        recorder.hooks += [_tried(hook, entries) for hook in hooks.hooks]
        return finished(lab, recorder)

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return the hooks side by side."""
        return {"hooks": hook_rows(trace.hooks)} if trace.hooks else {}


def _train_one_batch(lab: Lab, recorder: Recorder) -> None:
    as_training_begins(lab)
    with instruments(lab, recorder, detail=False):
        if lab.setup.train_loop is not None:
            run_user_loop(lab, recorder, 1)
        else:
            Loop(lab.setup, lab.optimizers(), recorder).run(lab.batches(1))


def _tried(hook: Hook, entries: Entries) -> HookRow:
    """Return a hook's row, its trials included; a hook that holds too much is not tried."""
    if hook.kind != "forward":
        return hook.row()
    *before, seen = hook.last or (hook.module, (), None)
    entered = entries.forward(hook.module) if hook.last is None else None
    if entered is not None:
        seen = entered[1]
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
    return hook.row(
        possible=possible,
        tried=tuple(tried),
        tried_place=place,
        entered_by=entered[0] if entered else "",
        would_give=_described(seen) if entered else "",
    )


def _described(output: Any) -> str:
    """Return `(int, Tensor)` for a tuple, the type's name for anything else."""
    if type(output) is tuple:
        return f"({', '.join(type(item).__name__ for item in output)})"
    return type(output).__name__


def _failure(error: Any) -> str:
    """Return the error where it is about the kind; shapes and keys are the examples' own."""
    if not isinstance(error, AttributeError | TypeError | NotImplementedError):
        return ""
    return told(error, 300)
