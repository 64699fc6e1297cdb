"""Does each step use the gradients of its own batches, all of them and no others?

## What it measures
For every gradient of a few steps of the user's own loop: which backward pass filled it, whether a
step used it, and whether anyone cleared it in between.

## Why it matters
`backward` adds to what is there. Without clearing, each step follows the sum of all gradients so
far; clearing too early leaves the step nothing to follow. Neither raises an error.

## Known limits
Judged only where the user's own `train_step` or `train_loop` runs. A `train_step` whose caller
clears the gradients is not told from one that nobody clears after: such a finding is likely, not
certain. Gradients that are exactly zero count as cleared.

## References
torch.optim.Optimizer.zero_grad documentation.
"""

from __future__ import annotations

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
from traindoctor.probing.syntax import calls
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import Place, SourceRow, StepRow, Trace
from traindoctor_probes._training_loops import spot
from traindoctor_probes._unrun import uncleared_steps

STALE = Rule(
    code="TD208",
    name="stale-gradients",
    severity=Severity.ERROR,
    title="Gradients of earlier batches are added to in {num_stale} of {num_steps} steps",
    what="Gradients that a step has used are still there when the next backward pass adds to them.",
    why="Each step follows the sum of all gradients since the start: old directions never fade, "
    "and the effective learning rate grows with every step.",
    known_limits="Accumulation that clears after each step is healthy and silent. Updates by hand "
    "are seen in watched runs alone. There, and where a `train_step` leaves clearing to a loop "
    "that was not handed over, it is reported as likely.",
    remedies=(
        Remedy(
            "Clear the gradients before each backward pass",
            recommended=True,
            before="loss.backward()\noptimizer.step()",
            after="optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
        ),
    ),
    explains=("TD102", "TD105", "TD205", "TD408", "TD418", "TD6"),
)
CLEARED = Rule(
    code="TD209",
    name="gradients-cleared-before-step",
    severity=Severity.CRITICAL,
    title="{num_empty} of {num_steps} optimizer steps find their gradients cleared",
    what="`zero_grad` runs between the backward pass and the step.",
    why="The step sees no gradient, or zeros: nothing is learned, and weight decay alone moves "
    "the weights.",
    known_limits="Silent where at least half of the steps have gradients.",
    remedies=(
        Remedy(
            "Clear the gradients before the backward pass, or after the step",
            recommended=True,
            before="loss.backward()\noptimizer.zero_grad()\noptimizer.step()",
            after="optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
        ),
    ),
    explains=("TD103", "TD201", "TD202", "TD404", "TD405", "TD409", "TD6"),
)
FEWEST_BY_HAND = 3  # updates without an optimizer that must have been seen
OFTEN = 0.5  # share of the steps from which on it is the loop's habit


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Follow the gradients of the user's own loop."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    if not run.steps and any(row.num_moved_before for row in run.backwards):
        yield from added_by_hand(run)
        return
    run.require(steps=2)
    later = [step for step in run.steps if step.index >= _first_of(run, step.optimizer) + 1]
    stale = [step for step in later if step.num_stale]
    if stale and len(stale) >= OFTEN * len(later):
        yield added_to(run, stale)
    empty = [
        step
        for step in run.steps
        if step.num_cleared and step.num_gradients == step.num_zero_gradients
    ]
    if empty and len(empty) >= OFTEN * len(run.steps):
        yield cleared(run, empty, ask(ReadSource()).source)


def added_to(run: Trace, stale: Sequence[StepRow]) -> Finding:
    """Return the finding for gradients that nobody clears."""
    most = max(step.num_stale for step in stale)
    held = max(step.num_held for step in stale)
    by_loop = run.setup.has_train_loop
    return STALE.finding(
        f"In {len(stale)} of {counted(len(run.steps), 'step')} up to {most} of {held} gradients "
        "were those of the step before, never cleared, with the new batch's added to them.",
        confidence=Confidence.CERTAIN if by_loop else Confidence.LIKELY,
        mechanism="backward() adds to a gradient that is there. Nothing cleared it after the last "
        "step, so this step follows the sum of this batch's gradient and all earlier ones.",
        location=first_location([stale[0].place, run.setup.factory]),
        also_at=[location(row.place) for row in run.backwards[:1] if row.place],
        evidence=[
            Evidence("steps with gradients of an earlier batch", len(stale), 0),
            Evidence("gradients not cleared", most, 0),
            Evidence("steps observed", len(run.steps)),
        ],
        num_stale=len(stale),
        num_steps=len(run.steps),
    )


def added_by_hand(run: Trace) -> Iterator[Finding]:
    """Yield the finding for gradients that were used without an optimizer, and kept."""
    used = [row for row in run.backwards if row.num_moved_before]
    stale = [row for row in used if row.num_present_before]
    if len(used) < FEWEST_BY_HAND or len(stale) < OFTEN * len(used):
        return
    most = max(row.num_present_before for row in stale)
    yield STALE.finding(
        f"The weights moved before {counted(len(used), 'backward pass')}, without an optimizer; at "
        f"{len(stale)} of these up to {most} gradients were there still, and were added to.",
        confidence=Confidence.LIKELY,
        mechanism="backward() adds to a gradient that is there. The update has used it, and "
        "nothing has cleared it since: the next update follows the sum of all gradients so far.",
        location=first_location([stale[0].place, run.setup.factory]),
        evidence=[
            Evidence("updates after which the gradients were kept", len(stale), 0),
            Evidence("gradients not cleared", most, 0),
        ],
        num_stale=len(stale),
        num_steps=len(used),
    )


def cleared(run: Trace, empty: Sequence[StepRow], source: Sequence[SourceRow]) -> Finding:
    """Return the finding for gradients that are gone when the step comes."""
    step = empty[0]
    most = max(row.num_cleared for row in empty)
    kept = step.num_gradients > 0
    return CLEARED.finding(
        f"Before {len(empty)} of {counted(len(run.steps), 'step')} a backward pass filled "
        f"{counted(most, 'gradient')}; at the step all of them were "
        f"{'zero' if kept else 'None'}.",
        mechanism="The gradients are cleared after backward() has filled them and before step() "
        "reads them. The optimizer skips what has no gradient, and moves nothing on zeros.",
        location=first_location([clearing_line(run, step, source), step.place]),
        also_at=[location(step.place)] if step.place else [],
        evidence=[
            Evidence("gradients after backward", most),
            Evidence("gradients other than zero at the step", 0, most),
            Evidence("steps without any", len(empty), 0),
        ],
        num_empty=len(empty),
        num_steps=len(run.steps),
    )


def clearing_line(run: Trace, step: StepRow, source: Sequence[SourceRow]) -> Place:
    """Return the `zero_grad` between the backward pass and the step, as written."""
    before = [row.place for row in run.backwards if row.batch <= step.batch]
    if not before or not before[-1] or before[-1].file != step.place.file:
        return Place()
    first, last = before[-1].line or 0, step.place.line or 0
    for place, _ in calls(source, "zero_grad"):
        if place.file == step.place.file and first <= (place.line or 0) <= last:
            return place
    return Place()


def _first_of(run: Trace, optimizer: int) -> int:
    return min(step.index for step in run.steps if step.optimizer == optimizer)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


def lint(row: SourceRow) -> Iterator[Finding]:
    """Yield steps in a file that clears no gradient."""
    for call in uncleared_steps(row):
        yield STALE.suspicion(
            "No gradient is ever cleared in this file",
            "Each backward pass adds to the gradients of all batches before; `zero_grad` is not "
            "called.",
            location=spot(row, call),
        )


probe = Probe(
    name="gradient-handling",
    doc=__doc__,
    rules=(STALE, CLEARED),
    examine=examine,
    experiments=experiments,
    lint=lint,
)
