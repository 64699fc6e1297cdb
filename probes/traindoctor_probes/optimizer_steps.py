"""Does each batch that is differentiated lead to a step?

## What it measures
Optimizer steps and backward passes of the user's own loop, over two short epochs: how many of
each, which batches' gradients were cleared before any step used them, and what statement of the
user's code stands around the step.

## Why it matters
A backward pass without a step costs what training costs and teaches nothing.

## Known limits
Judged only where the user's own `train_step` or `train_loop` runs. Gradients that wait are not
lost: accumulation, declared or not, is silent, and where its window is longer than the run nothing
is said. Weights that a loop moves by hand are trained. Batches that never reach backward are
another rule's. Backward passes of a line of which no step uses any serve something else, where
steps use another line's. Of a watched run that steps, but only after its first 24 batches (96 where
an optimizer is there), nothing is said unless every loop around the step is one around the backward
pass. With a gradient scaler, steps skipped over gradients that are not finite are its business.
That gradients were to be added up is read off a loss that is divided; a mean written as a quotient
looks the same, and moves the line from the step's condition to the clearing.

## References
torch.optim documentation, "Taking an optimization step".
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import (
    Ask,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.syntax import Guard, function_at, guards
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import BackwardRow, Place, SourceRow, Trace
from traindoctor_probes._broken_windows import cleared_within
from traindoctor_probes._never_steps import idle, later_step, never, require_end

NEVER = Rule(
    code="TD403",
    name="optimizer-never-steps",
    severity=Severity.CRITICAL,
    title="{num_backwards} backward passes and no {step}",
    what="Gradients are computed, and no optimizer ever uses them.",
    why="No weight changes: the model stays as it was initialised.",
    known_limits="Where a step stands under a count that the run did not reach (accumulation), "
    "nothing is said. A `train_step` that was not given the optimizer leaves the step to its "
    "caller, and nothing is said either. A watched run that steps at all, however late, is none, "
    "and of one that was cut short the data must have been gone through once with an optimizer "
    "there.",
    remedies=(
        Remedy(
            "Step after the backward pass",
            recommended=True,
            before="loss.backward()",
            after="loss.backward()\noptimizer.step()",
        ),
    ),
    explains=("TD103", "TD208", "TD404", "TD405", "TD409", "TD6"),
)
FEWER = Rule(
    code="TD404",
    name="fewer-steps-than-expected",
    severity=Severity.ERROR,
    title="{num_lost} of {num_batches} batches were differentiated and never used",
    what="Gradients are cleared by the next batch before any step has used them.",
    why="What those batches would teach is lost, and the run takes a fraction of its steps.",
    known_limits="The last batches of an epoch are not counted: its end may cut a window of "
    "accumulation short. Fewer than two lost batches, or a tenth, are silent, and so are backward "
    "passes from lines of which no step uses any, beside one of which steps do: they serve "
    "something else.",
    remedies=(
        Remedy(
            "Step for every batch",
            recommended=True,
            before="if index % 4 == 0:\n    optimizer.step()",
            after="optimizer.step()",
        ),
        Remedy(
            "Accumulate: clear the gradients when they were used",
            pros="A larger batch for the same memory.",
            before="optimizer.zero_grad()\nloss.backward()\n"
            "if (index + 1) % 4 == 0:\n    optimizer.step()",
            after="(loss / 4).backward()\nif (index + 1) % 4 == 0:\n    optimizer.step()\n"
            "    optimizer.zero_grad()",
        ),
    ),
    explains=("TD103", "TD409", "TD416", "TD502", "TD6"),
)
LOST_SHARE = 0.1


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Count steps against backward passes, and say what stands between."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    run.require(backwards=1)
    source = ask(ReadSource()).source
    if not run.steps and run.facts.get("moved"):
        return
    step = run.steps[0].place if run.steps else later_step(run, source)
    if not run.steps and not step:
        require_end(run)
        yield never(NEVER, run, source)
        return
    yield from idle(NEVER, run)
    lost = lost_passes(run)
    num_lost = len({row.batch for row in lost})
    num_batches = len({row.batch for row in training_passes(run)})
    if num_lost >= max(2, LOST_SHARE * num_batches):
        yield fewer(run, step, lost, num_batches, source)


def training_passes(run: Trace) -> list[BackwardRow]:
    """Return the backward passes of lines from which a step used any; all where there is no such.

    Others serve something else, as saliency, an attack or the scores of a pruning.
    """
    discarded = set(run.facts.get("discarded_backwards", ()))
    used = {
        row.place
        for row in run.backwards
        if row.index not in discarded and row.step < len(run.steps)
    }
    return [row for row in run.backwards if not used or row.place in used]


def lost_passes(run: Trace) -> list[BackwardRow]:
    """Return the backward passes of a training's batches whose gradients no step used.

    The last of an epoch is none of them, and with a scaler those are not whose gradients, or
    whose window's, were not finite.
    """
    discarded = set(run.facts.get("discarded_backwards", ()))
    epochs = {row.index: row.epoch for row in run.batches}
    used = {row.batch for row in run.backwards if row.index not in discarded}
    used |= {row.batch for row in run.steps}
    return [
        row
        for row, after in pairwise(training_passes(run))
        if row.batch not in used
        and epochs.get(after.batch) == epochs.get(row.batch)
        and not (run.setup.has_scaler and is_broken(run, row))
    ]


def is_broken(run: Trace, row: BackwardRow) -> bool:
    """Tell whether gradients stop to be finite before they are cleared."""
    for after in run.backwards[row.index :]:
        if after.index > row.index and not after.num_present_before:
            return False
        if after.num_not_finite:
            return True
    return False


def fewer(
    run: Trace,
    step: Place,
    lost: Sequence[BackwardRow],
    num_batches: int,
    source: Sequence[SourceRow],
) -> Finding:
    """Return the finding for gradients that are cleared before a step uses them."""
    around = [guard for guard in guards(source, step) if guard.kind in ("if", "else", "try")]
    cleared = cleared_within(source, lost[0].place, around)
    where = cleared or (around[-1].place if around else step)
    decided = decision(source, around[-1]) if around else Place()
    num_lost = len({row.batch for row in lost})
    num_skipped = sum(not row.num_present_before for row in lost)
    return FEWER.finding(
        f"{num_batches} batches were differentiated and {counted(len(run.steps), 'step')} taken; "
        f"the gradients of {counted(num_lost, 'batch')} were cleared before a step used them"
        f"{_said_by(around, decided)}.",
        mechanism="The gradients are cleared before, or although, no step has used them. What "
        "these batches computed is thrown away: this is no accumulation, it is skipping.",
        location=first_location([where, step, run.setup.factory]),
        also_at=[location(place) for place in (decided, step) if place and place != where],
        evidence=[
            Evidence("batches differentiated", num_batches),
            Evidence("optimizer steps", len(run.steps), len(run.steps) + num_skipped),
            Evidence("batches whose gradients were lost", num_lost, 0),
            Evidence("of those, with gradients that were not finite", num_not_finite(lost)),
        ],
        remedies=_accumulating() if cleared else _undoing(around, decided),
        num_lost=num_lost,
        num_batches=num_batches,
    )


def _accumulating() -> list[Remedy]:
    every, accumulate = FEWER.remedies
    return [replace(accumulate, recommended=True), replace(every, recommended=False)]


def num_not_finite(lost: Sequence[BackwardRow]) -> int:
    """Count the batches that a guard would have been right to skip."""
    return len({row.batch for row in lost if row.num_not_finite})


def decision(source: Sequence[SourceRow], guard: Guard) -> Place:
    """Return the line that last sets the one name that a condition tests, if it tests but one."""
    function = function_at(source, guard.place)
    if function is None or not guard.test.isidentifier():
        return Place()
    found = [
        Place(guard.place.file, node.lineno, function.name, ast.unparse(node))
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and node.lineno < (guard.place.line or 0)
        if guard.test in {ast.unparse(target) for target in node.targets}
    ]
    return max(found, key=lambda place: place.line or 0, default=Place())


def _said_by(around: Sequence[Guard], decided: Place) -> str:
    if not around:
        return ": the step stands outside the loop over the batches"
    guard = around[-1]
    if guard.kind == "try":
        return f": the step stands in a `try` at line {guard.place.line}"
    how = f", which line {decided.line} decides: `{decided.text}`" if decided else ""
    return f": the step stands under `{guard.kind} {guard.test}`{how}"


def _undoing(around: Sequence[Guard], decided: Place) -> list[Remedy] | None:
    """Return the ways out where a condition skips steps and clears all the same."""
    if not decided:
        return None
    return [
        Remedy(
            "Skip only what must be skipped",
            recommended=True,
            pros="A step with gradients that are not finite is all that a guard has to prevent.",
            before=decided.text,
            after=_first_term(decided.text),
        ),
        Remedy(
            "Keep the gradients where no step is taken",
            pros="What was computed is used by the next step.",
            before="optimizer.zero_grad()",
            after=f"if {around[-1].test}:\n    optimizer.zero_grad()",
        ),
    ]


def _first_term(line: str) -> str:
    """Return an assignment of `a and b` as one of `a`; anything else as it is."""
    node = ast.parse(line).body[0]
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BoolOp):
        return ast.unparse(ast.Assign(node.targets, node.value.values[0], lineno=1))
    return ""


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ShortRun(), ReadSource()


probe = Probe(
    name="optimizer-steps",
    doc=__doc__,
    rules=(NEVER, FEWER),
    examine=examine,
    experiments=experiments,
)
