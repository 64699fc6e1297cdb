"""Does a run that goes on from a checkpoint go on with its optimizer's state?

## What it measures
What `torch.load` read: does the file hold the state of an optimizer? Which module got its weights,
and what did the optimizer that trains this module know before its first step, and after it?

## Why it matters
Adam's moments and SGD's momentum are half of where a training stands. Without them the first steps
after a restart are as large as the first of all, at a point that was reached with small ones.

## Known limits
A run is taken for a resumed one if its trace is joined to that of the run before
(`traindoctor report TRACE1 TRACE2`), if its loop begins at the checkpoint's counter of epochs or
steps, if a scheduler goes on where it was, or if the state went into an optimizer that never steps.
Weights alone, taken from a file for fine-tuning, are silent; so are optimizers that keep no state
or another kind of it, a script with a line for the state that this run did not come to, a state
restored in whatever way before the first step, and files that `torch.load` does not read
(safetensors, torch.distributed.checkpoint). Weights that were copied between the file and the model
are not recognised.

## References
PyTorch tutorials, "Saving and loading a general checkpoint".
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.syntax import calls, last_name
from traindoctor.probing.values import resumed_counters
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import CheckpointRow, SourceRow, Trace
from traindoctor_probes._handling import around_the_restart, require_instruments

LOST = Rule(
    code="TD417",
    name="optimizer-state-lost",
    severity=Severity.ERROR,
    title="Training goes on from a checkpoint without its optimizer's state",
    what="Weights are restored from a checkpoint that holds an optimizer's state, too, and the "
    "optimizer that trains them begins with none.",
    why="Moments and momentum start from zero at a point that was reached with them: the first "
    "steps are too large and go astray, and the loss jumps at each restart.",
    known_limits="Speaks only where the run is seen to be a resumed one; taking the weights alone "
    "is how fine-tuning begins.",
    remedies=(
        Remedy(
            "Restore the optimizer's state as well",
            recommended=True,
            pros="The run goes on as if it had not been interrupted.",
            before='model.load_state_dict(checkpoint["model"])',
            after='model.load_state_dict(checkpoint["model"])\n'
            'optimizer.load_state_dict(checkpoint["optimizer"])',
        ),
        Remedy(
            "Warm the learning rate up again",
            pros="Helps where the state is gone for good.",
            cons="Costs the steps of the warm-up at each restart.",
            after="scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=500)",
        ),
    ),
    explains=("TD105", "TD408"),
)
COUNTERS = {
    "epoch",
    "epochs",
    "start_epoch",
    "last_epoch",
    "current_epoch",
    "step",
    "steps",
    "global_step",
    "iter",
    "iteration",
    "iterations",
    "iter_num",
    "it",
    "batch",
}
SAME_MODEL = 0.9  # of what the optimizer trains, that the checkpoint's weights went into


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each file that held an optimizer's state and gave a trained model its weights."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    require_instruments(run, "checkpoints")
    run.require(steps=1)
    for row in run.checkpoints:
        if not is_lost(row):
            continue
        signs, confidence = signs_of_resuming(run, row, ask(ReadSource()).source)
        if signs:
            yield lost(run, row, signs, confidence)


def is_lost(row: CheckpointRow) -> bool:
    """Tell whether an optimizer that could have gone on with the file's state began without any."""
    began_empty = row.optimizer is not None and row.num_restored == 0 < row.num_kept
    fits = row.num_held == row.num_trained and row.state_names == row.kept_names
    return began_empty and fits and row.num_shared >= SAME_MODEL * row.num_trained


def signs_of_resuming(
    run: Trace, row: CheckpointRow, source: Sequence[SourceRow]
) -> tuple[list[str], Confidence]:
    """Return what shows that the run goes on where another ended, and how sure that is."""
    if row.num_wasted < row.num_received:
        return [], Confidence.POSSIBLE  # some optimizer goes on with its state; maybe of another
    signs = []
    if earlier := run.facts.get("earlier"):
        signs.append(f"it was named as the one that goes on after {earlier['num_steps']} steps")
    if row.num_wasted:
        signs.append("the state was loaded into an optimizer that never steps")
    if any(r.position > 0 and r.optimizer == row.optimizer for r in run.schedulers):
        signs.append("the schedule of the learning rate goes on where it was")
    counter = next((key for key in resumed_counters(source) if key in row.keys), None)
    if counter in COUNTERS:
        signs.append(f'the loop begins at the checkpoint\'s "{counter}"')
    if not row.num_received and on_optimizers(source, "load_state_dict"):
        return [], Confidence.POSSIBLE  # there is such a line, and this run does without it
    if signs and on_optimizers(source, "state_dict"):
        signs.append("the script saves its optimizer's state and has no line that loads it")
    return signs, Confidence.CERTAIN if len(signs) > 1 else Confidence.LIKELY


def on_optimizers(source: Sequence[SourceRow], method: str) -> bool:
    """Tell whether some line calls a method of something that is named like an optimizer."""
    return any(
        isinstance(call.func, ast.Attribute)
        and last_name(call.func.value).lower().startswith("opt")
        for _, call in calls(source, method)
    )


def lost(run: Trace, row: CheckpointRow, signs: Sequence[str], confidence: Confidence) -> Finding:
    """Return the finding for a state that nobody restored."""
    return LOST.finding(
        f"The checkpoint read on line {row.place.line} holds the state of "
        f"{counted(row.num_states, 'parameter')}. Its weights went into {row.module_class}; "
        f"{row.optimizer_class}, which trains it, knew nothing before its first step and kept a "
        f"state for {counted(row.num_kept, 'parameter')} after it. It is a resumed run: "
        f"{'; '.join(signs)}.",
        confidence=confidence,
        mechanism="An optimizer's state is not part of the model's weights. Built anew, the "
        "optimizer starts from empty moments, and corrects for their emptiness by long steps.",
        location=first_location([row.module_place, row.place, run.setup.factory]),
        also_at=[location(place) for place in (row.place, row.step_place) if place],
        evidence=[
            Evidence("parameters with a state in the checkpoint", row.num_states),
            Evidence("parameters with a state before the first step", 0, row.num_states),
            Evidence("and after it", row.num_kept),
            Evidence("states given to the optimizer that steps", 0, 1),
            Evidence("what the checkpoint holds", ", ".join(row.keys)),
            *around_the_restart(run),
        ],
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="optimizer-state",
    doc=__doc__,
    rules=(LOST,),
    examine=examine,
    experiments=experiments,
)
