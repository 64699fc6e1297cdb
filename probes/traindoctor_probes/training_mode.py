"""Is the model in train mode when it is trained?

## What it measures
The mode of each module at its last call with gradients before each backward pass of the user's own
loop, and whether anything in it depends on the mode (dropout, batch norm).

## Why it matters
In eval mode dropout does nothing and batch norm neither uses nor updates the statistics of the
batch: the model trains without its regularisation, on statistics that never adapt.

## Known limits
Judged only where the user's own `train_step` or `train_loop` runs; the doctor's loop sets train
mode itself. Where there is no dropout or batch norm, and no class of the user's reads
`self.training`, the finding is information. So it is where only parts are in eval mode, which
takes a line of code and is common in fine-tuning, and where a model that is handed over in eval
mode comes with a `train_step` whose caller may set the mode.

## References
torch.nn.Module.eval documentation.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls, function_at, guards, subtrees
from traindoctor.probing.wording import counted, first_location, grouped, location
from traindoctor.trace import ModuleRow, Place, SourceRow, Trace

EVAL_MODE = Rule(
    code="TD701",
    name="training-in-eval-mode",
    severity=Severity.ERROR,
    title="{what} in eval mode in {num_eval} of {num_passes} backward passes",
    what="Training steps are taken while the model, or dropout and batch norm in it, are in eval "
    "mode.",
    why="Dropout is off and batch norm's statistics stand still: what is trained is not the model "
    "that was meant.",
    known_limits="Parts that are kept in eval mode while the model is in train mode are taken for "
    "a decision and reported as information; frozen parts are not reported.",
    remedies=(
        Remedy(
            "Set train mode where the epoch begins",
            recommended=True,
            pros="Also undoes the eval mode that a validation leaves behind.",
            before="for batch in loader:",
            after="model.train()\nfor batch in loader:",
        ),
    ),
    explains=("TD116", "TD602", "TD719"),
)
RATES = ("p", "dropout", "attention_dropout", "drop_prob", "dropout_p")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the mode that each backward pass saw."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    run.require(backwards=1)
    modules = {row.path: row for row in run.modules}
    tops = [row for row in run.modules if row.modes and not _has_called_parent(row, modules)]
    sick = [row for row in tops if ends_in_eval(row) and row.num_trainable]
    if sick:
        yield in_eval(max(sick, key=lambda row: row.num_trainable), run, ask(ReadSource()).source)
        return
    parts = [
        row
        for row in run.modules
        if depends_on_mode(row) and row.modes and not any(row.modes) and _is_trained(row, modules)
    ]
    if parts:
        yield partly(parts, run)


def ends_in_eval(row: ModuleRow) -> bool:
    """Tell a module that is in eval mode to the end, having changed once at most.

    One that changes back and forth is handled with care (a generator while its critic learns).
    """
    changes = sum(a != b for a, b in pairwise(row.modes))
    return bool(row.modes) and not row.modes[-1] and changes <= 1


def depends_on_mode(row: ModuleRow) -> bool:
    """Tell whether a module computes something else in eval mode."""
    if "BatchNorm" in row.class_name:
        return True
    rates = [row.attributes.get(name) for name in RATES]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def reads_mode(row: ModuleRow, source: Sequence[SourceRow]) -> bool:
    """Tell whether a class of the user's looks at `self.training`, as a functional dropout does."""
    return row.is_users and any(
        isinstance(node, ast.Attribute) and node.attr == "training"
        for file in source
        for owner in subtrees(file, ast.ClassDef)
        if owner.name == row.class_name
        for node in ast.walk(owner)
    )


def in_eval(top: ModuleRow, run: Trace, source: Sequence[SourceRow]) -> Finding:
    """Return the finding for a whole model in eval mode."""
    inside = [
        row
        for row in run.modules
        if (depends_on_mode(row) or reads_mode(row, source))
        and (not top.path or row.path.startswith(top.path))
    ]
    num_eval = sum(not mode for mode in top.modes)
    by_caller = not run.setup.has_train_loop and not run.setup.is_training
    backward = run.backwards[0].place
    name = top.path or "the model"
    affected = (
        f"Other than in train mode: {grouped(row.path or row.class_name for row in inside)}."
        if inside
        else "It has no dropout or batch norm, so the mode may not matter."
    )
    return EVAL_MODE.finding(
        f"{name} ({top.class_name}) was in eval mode in {num_eval} of "
        f"{counted(len(top.modes), 'backward pass')} of your loop. {affected}",
        severity=Severity.INFO if by_caller or not inside else None,
        mechanism="eval() stays in force until train() is called. Steps taken in it leave out "
        "dropout and normalise with running statistics that no longer change.",
        location=first_location([eval_line(source, backward), backward, run.setup.factory]),
        also_at=[location(backward)] if backward else [],
        evidence=[
            Evidence("backward passes in eval mode", num_eval, 0),
            Evidence("backward passes", len(top.modes)),
            Evidence("modules that depend on the mode", len(inside)),
            Evidence("in train mode as handed over", run.setup.is_training, True),
        ],
        subject=top.path,
        what=f"{name} is",
        num_eval=num_eval,
        num_passes=len(top.modes),
    )


def partly(parts: Sequence[ModuleRow], run: Trace) -> Finding:
    """Return the line of information on parts that are kept in eval mode."""
    passes = max(len(row.modes) for row in parts)
    return EVAL_MODE.finding(
        f"In eval mode at every backward pass while the model is in train mode, with parameters "
        f"that are trained: {grouped(row.path for row in parts)}.",
        severity=Severity.INFO,
        location=location(parts[0].place, module=parts[0].path),
        evidence=[Evidence("modules in eval mode", len(parts))],
        subject=grouped(row.path for row in parts),
        what=f"{parts[0].path} is" if len(parts) == 1 else f"{len(parts)} modules are",
        num_eval=passes,
        num_passes=passes,
    )


def eval_line(source: Sequence[SourceRow], backward: Place) -> Place:
    """Return the `eval()` before the backward pass in its function, or the one in its loop.

    Else it is in a function that is called in that loop before, or the file's only one.
    """
    lines = [
        place
        for place, call in calls(source, "eval", "train")
        if place.file == backward.file and _sets_eval(call)
    ]
    above = [place for place in lines if (place.line or 0) <= (backward.line or 0)]
    near = [place for place in above if _function(source, place) == _function(source, backward)]
    loops = _loops(source, backward)
    near = near or [place for place in lines if loops & _loops(source, place)]
    near = near or [place for place in lines if _is_called_before(source, place, backward)]
    return near[-1] if near else lines[0] if len(lines) == 1 else Place()


def _function(source: Sequence[SourceRow], place: Place) -> tuple[str, int]:
    """Return what tells the function that a line stands in from the others of its file."""
    function = function_at(source, place)
    return (function.name, function.lineno) if function is not None else ("", 0)


def _is_called_before(source: Sequence[SourceRow], place: Place, backward: Place) -> bool:
    """Tell whether a line's function is called before the backward pass in the innermost loop."""
    name, _ = _function(source, place)
    loops = _loops(source, backward)
    sites = [site for site, _ in calls(source, name) if site.file == backward.file] if loops else []
    return any(
        loops <= _loops(source, site) and (site.line or 0) < (backward.line or 0) for site in sites
    )


def _loops(source: Sequence[SourceRow], place: Place) -> set[Place]:
    """Return the loops that a line stands in."""
    return {guard.place for guard in guards(source, place) if guard.kind in ("for", "while")}


def _sets_eval(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr == "eval":
        return not call.args
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any(isinstance(value, ast.Constant) and value.value is False for value in values)


def _has_called_parent(row: ModuleRow, modules: dict[str, ModuleRow]) -> bool:
    path = row.path
    while path:
        path = path.rpartition(".")[0]
        if path in modules and modules[path].modes:
            return True
    return False


def _is_trained(row: ModuleRow, modules: dict[str, ModuleRow]) -> bool:
    """Tell whether a module has trainable parameters, or sits beside some if it has none."""
    while not row.num_parameters and row.path:
        row = modules[row.path.rpartition(".")[0]]
    return row.num_trainable > 0


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="training-mode",
    doc=__doc__,
    rules=(EVAL_MODE,),
    examine=examine,
    experiments=experiments,
)
