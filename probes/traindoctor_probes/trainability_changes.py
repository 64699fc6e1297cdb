"""Does what is trained change while it is trained?

## What it measures
`requires_grad` of everything that an optimizer holds, compared from one of its steps to the next,
over a longer run; and the lines of the user's code that set it.

## Why it matters
A helper that freezes a model to validate, export or draw from it, and does not undo that, ends the
training of what it froze: no error, no warning, and the optimizer goes on stepping.

## Known limits
Looked at where the optimizer of a parameter steps, so that a critic which is frozen while its
generator learns has not changed. Parameters that are unfrozen, or frozen by a line that asks for
the epoch or step, or in a function named for it, follow a schedule: that is information. A schedule
that is hidden from the eye (a callback's own state) is taken for a mishap if it freezes.

## References
Howard and Ruder, "Universal Language Model Fine-tuning", 2018: gradual unfreezing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from traindoctor.experiments import Experiment, LongRun, ReadSource
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
from traindoctor.probing.syntax import assigned, calls, function_at, guards
from traindoctor.probing.wording import counted, first_location, grouped
from traindoctor.trace import FlipRow, Place, SourceRow, Trace

_PROGRESS = re.compile(r"epoch|step|iter|phase|stage|schedule|progress|warm", re.IGNORECASE)
_DECLARED = re.compile(r"freez|unfroz|trainab|thaw|stage|phase", re.IGNORECASE)

FLIPS = Rule(
    code="TD216",
    name="trainability-flips",
    severity=Severity.WARNING,
    title="{num_changed} {what} after step {step}",
    what="The set of parameters that require gradients changes during the run.",
    why="What is frozen by the way is not trained from there on, and nothing says so.",
    known_limits="A schedule is recognised by a condition on the epoch or step, or by a function's "
    "name; any other freezing is reported.",
    remedies=(
        Remedy(
            "Turn gradients off for the code that needs none, not for the parameters",
            recommended=True,
            pros="Nothing is left to undo.",
            before="for p in model.parameters():\n    p.requires_grad = False",
            after="with torch.no_grad():\n    outputs = model(inputs)",
        ),
        Remedy(
            "Set requires_grad back where it was set",
            cons="Unfreezes what was meant to be frozen, unless it is remembered.",
            after="model.requires_grad_(True)",
        ),
    ),
    explains=("TD201", "TD405", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each optimizer's changes: those that freeze, else those that unfreeze."""
    run = ask(LongRun())
    run.require(steps=2)
    if not run.flips:
        return
    source = ask(ReadSource()).source
    for optimizer in sorted({row.optimizer for row in run.flips}):
        rows = [row for row in run.flips if row.optimizer == optimizer]
        freezing = [row for row in rows if row.num_frozen]
        yield changed(freezing or rows, rows, run, source)


def changed(
    told: list[FlipRow], rows: list[FlipRow], run: Trace, source: tuple[SourceRow, ...]
) -> Finding:
    """Return the finding for one optimizer, at its first change that matters."""
    first = told[0]
    is_frozen = first.num_frozen > 0
    lines = setting_lines(source, is_frozen)
    is_schedule = not is_frozen or any(is_declared(place, source) for place in lines)
    names = first.frozen if is_frozen else first.unfrozen
    number = counted(first.num_frozen if is_frozen else first.num_unfrozen, "parameter")
    what = "frozen" if is_frozen else "unfrozen"
    were = "was" if number.startswith("1 ") else "were"
    steps = [place for place in (row.place for row in run.steps) if place]
    return FLIPS.finding(
        f"Of {first.num_held} parameters that the optimizer holds, {number} "
        f"{were} {what} between its steps {first.step} and "
        f"{first.step + 1}: {grouped(names)}. {first.num_trainable} are trained from there on; "
        f"in all, {counted(len(rows), 'change')} in {counted(len(run.steps), 'step')}.",
        severity=Severity.INFO if is_schedule else None,
        confidence=None if len(lines) == 1 else Confidence.LIKELY,
        mechanism="A parameter that requires no gradient gets none, and an optimizer passes over "
        "it without a word. It is trained again only when requires_grad is set back.",
        location=first_location([*lines, *steps[:1]]),
        evidence=[
            Evidence("parameters frozen", first.num_frozen, 0),
            Evidence("parameters unfrozen", first.num_unfrozen),
            Evidence("trained after it", first.num_trainable, first.num_held),
            Evidence("changes in the run", len(rows), 0),
        ],
        subject=f"{what} {first.optimizer}",
        num_changed=number,
        what=f"{'is' if were == 'was' else 'are'} {what}",
        step=first.step,
    )


def setting_lines(source: tuple[SourceRow, ...], is_frozen: bool) -> list[Place]:
    """Return the lines that set `requires_grad` to this effect, those in loops' functions first."""
    wanted = not is_frozen
    found = [
        place
        for place, call in calls(source, "requires_grad_")
        if _says([*call.args[:1], *(keyword.value for keyword in call.keywords)], wanted)
    ]
    set_ = assigned(source, "requires_grad")
    found += [place for place, value in set_ if _says([value], wanted)]
    return sorted(found, key=lambda place: _builds(place, source))


def is_declared(place: Place, source: tuple[SourceRow, ...]) -> bool:
    """Tell a line of a schedule's: it asks how far the run is, or is named for what it does."""
    function = function_at(source, place)
    if function is not None and _DECLARED.search(function.name):
        return True
    return any(
        _PROGRESS.search(guard.test) for guard in guards(source, place) if guard.kind != "for"
    )


def _builds(place: Place, source: tuple[SourceRow, ...]) -> bool:
    """Tell a line that freezes before there is any training: in a constructor or a builder."""
    function = function_at(source, place)
    name = function.name if function is not None else ""
    return bool(re.match(r"__init__|build|make|create|get|setup|load|init", name))


def _says(values: list[ast.expr], wanted: bool) -> bool:
    """Tell whether a call or assignment may set it to the value wanted; a variable may."""
    if not values:
        return wanted
    value = values[0]
    return not isinstance(value, ast.Constant) or value.value is wanted


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (LongRun(),)


probe = Probe(
    name="trainability-changes",
    doc=__doc__,
    rules=(FLIPS,),
    examine=examine,
    experiments=experiments,
)
