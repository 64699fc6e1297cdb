"""Is what is meant to be frozen frozen?

## What it measures
Modules and parameters that carry an attribute set to False which reads like `requires_grad`
(`module.requires_grad = False`, `p.require_grad = False`), whose parameters require gradients all
the same and are held by an optimizer; and how many of them got a gradient. Besides, trainable
modules that are called in eval mode and with gradients off only, while the model trains.

## Why it matters
Python lets any attribute be set: neither torch nor the optimizer asks for one that is misspelt, or
that stands on a module. The part that was to stay as it is trains along.

## Known limits
What was meant can be told by the attribute alone: parameters that were frozen in another copy of
the model, or thawed again, are not known to be meant frozen. A part that runs under `no_grad` and
in eval mode is one line of information, and only possible: nothing moves it as long as it does.

## References
torch.nn.Module.requires_grad_ documentation: "Change if autograd should record operations on
parameters in this module".
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
from traindoctor.probing.syntax import assigned
from traindoctor.probing.wording import counted, first_location, grouped, location
from traindoctor.trace import ModuleRow, ParameterRow, SourceRow, Trace
from traindoctor_probes._unreached import is_meant_to_train

BY_ACCIDENT = Rule(
    code="TD215",
    name="trainable-by-accident",
    severity=Severity.WARNING,
    title="{num_trained} {what}",
    what="Parameters that are meant to be frozen require gradients, and an optimizer holds them.",
    why="What was to stay as it is, pretrained weights for one, is trained along.",
    known_limits="What was meant is told by an attribute that reads like `requires_grad`, or, as "
    "information, by a part that always runs under `no_grad` and in eval mode.",
    remedies=(
        Remedy(
            "Freeze it by the method",
            recommended=True,
            pros="Sets the flag of every parameter inside.",
            before="model.encoder.requires_grad = False",
            after="model.encoder.requires_grad_(False)",
        ),
        Remedy(
            "Leave it out of the optimizer as well",
            pros="Says so a second time, and a thawed part does not move either.",
            after="optimizer = AdamW(p for p in model.parameters() if p.requires_grad)",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at attributes that freeze nothing, then at parts that run without gradients."""
    run = ask(ShortRun())
    held = [row for row in run.parameters if row.requires_grad and is_meant_to_train(row, run)]
    flagged = by_flag(held, run)
    for flag, rows in flagged.items():
        yield in_name_only(flag, rows, run, ask(ReadSource()).source)
    named = {row.name for rows in flagged.values() for row in rows}
    for module in resting(run):
        rows = [row for row in held if is_inside(row, module) and row.name not in named]
        if rows and not {row.name for row in rows} & set(run.facts.get("moved") or ()):
            yield at_rest(module, rows, run)


def by_flag(held: Sequence[ParameterRow], run: Trace) -> dict[str, list[ParameterRow]]:
    """Group what an optimizer trains by the attribute that seems to freeze it."""
    modules = [row for row in run.modules if row.false_flag]
    found: dict[str, list[ParameterRow]] = {}
    for row in held:
        flags = [module.false_flag for module in modules if is_inside(row, module)]
        if flag := row.false_flag or next(iter(flags), ""):
            found.setdefault(flag, []).append(row)
    return found


def is_inside(row: ParameterRow, module: ModuleRow) -> bool:
    """Tell whether a parameter belongs to a module or to what is in it."""
    return not module.path or f"{row.module}.".startswith(f"{module.path}.")


def in_name_only(
    flag: str, rows: list[ParameterRow], run: Trace, source: Sequence[SourceRow]
) -> Finding:
    """Return the finding for one attribute, at the line that sets it."""
    reached = {row.parameter for row in run.gradients if not row.is_none}
    number = sum(row.name in reached for row in rows)
    lines = [place for place, _ in assigned(source, flag)]
    names = grouped(row.name for row in rows)
    whose = "parameters" if any(row.false_flag for row in rows) else "their module"
    return BY_ACCIDENT.finding(
        f"`{flag}` was set to False on {whose}, which freezes nothing: {names} require gradients, "
        f"{number} of {len(rows)} got one, and your optimizer holds them.",
        confidence=Confidence.CERTAIN if number else Confidence.LIKELY,
        mechanism="Autograd asks a parameter for `requires_grad` and nothing else for anything "
        f"else. `{flag}` is a new attribute that was made by the assignment.",
        location=first_location(lines),
        also_at=[location(place) for place in lines[1:]],
        evidence=[
            Evidence("parameters that are frozen in name only", len(rows), 0),
            Evidence("of those, with a gradient", number, 0),
            Evidence("their elements", sum(row.num_elements for row in rows)),
        ],
        subject=flag,
        num_trained=counted(len(rows), "parameter"),
        what=f"{'is' if len(rows) == 1 else 'are'} frozen in name only, and trained",
    )


def resting(run: Trace) -> list[ModuleRow]:
    """Return the outermost modules that always run in eval mode and without gradients."""
    if not any(row.num_calls_training for row in run.modules if not row.path):
        return []
    found = [
        row
        for row in run.modules
        if row.num_trainable
        and 0 < row.num_calls == row.num_calls_without_grad
        and not row.num_calls_training
    ]
    paths = [f"{row.path}." for row in found]
    return [row for row in found if not any(row.path.startswith(path) for path in paths)]


def at_rest(module: ModuleRow, rows: list[ParameterRow], run: Trace) -> Finding:
    """Return the line of information on a part that is frozen by where it is called."""
    number = counted(len(rows), "parameter")
    return BY_ACCIDENT.finding(
        f"{module.path} was called {counted(module.num_calls, 'time')}, always in eval mode and "
        f"with gradients off, and your optimizer holds {number} of it that require gradients.",
        severity=Severity.INFO,
        confidence=Confidence.POSSIBLE,
        mechanism="Without a gradient an optimizer passes over them. The day the part is called "
        "with gradients on, it trains.",
        location=first_location([module.call_place, run.setup.factory], module=module.path),
        evidence=[
            Evidence("calls with gradients on", 0),
            Evidence("calls in train mode", 0),
            Evidence("trainable parameters in the optimizer", len(rows), 0),
        ],
        remedies=[
            Remedy(
                "Freeze it",
                recommended=True,
                pros="Says what is meant, wherever it is called.",
                after=f"model.{module.path}.requires_grad_(False)",
            )
        ],
        subject=module.path,
        num_trained=number,
        what=f"of {module.path} never train, and look as if they did",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="freezing",
    doc=__doc__,
    rules=(BY_ACCIDENT,),
    examine=examine,
    experiments=experiments,
)
