"""Is every batch's loss in the total that the user's loop reports?

## What it measures
How often each line that adds to a total ran in a short run of the user's own loop, beside the
number of backward passes; and, in the source, which condition the line stands under that the
backward pass does not.

## Why it matters
A running loss added inside the accumulation or skip branch leaves batches out, those that were
skipped above all, and is divided by all of them. The curve is wrong while the training is not, or
hides that it is.

## Known limits
Totals are augmented assignments (`total += ...`) in a function that differentiates or steps, of an
expression that names what was differentiated. Where the branch counts what it adds and the total
is divided by that count, the mean is honest and nothing is said.

## References
traindoctor's array-signal case: a `running += loss` four spaces too far to the right.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import Function, Guard, calls, function_at, guards
from traindoctor.probing.wording import location
from traindoctor.trace import CountRow, Place, SourceRow, Trace

Source = tuple[SourceRow, ...]

ON_STEP_ONLY = Rule(
    code="TD805",
    name="loss-counted-on-step-only",
    severity=Severity.ERROR,
    title="`{total}` counts the loss of {num_counted} of {num_backwards} batches",
    what="The running loss is added inside the branch that steps or skips, not for every batch.",
    why="The reported loss leaves batches out, and is divided as if it did not: it is off by the "
    "accumulation, and jumps when steps are skipped.",
    known_limits="A total that is divided by a count of what it holds is a mean of a sample, and "
    "taken as meant. Lists that losses are appended to are not looked at.",
    remedies=(
        Remedy(
            "Add the loss in the batch loop, outside the branch",
            recommended=True,
            pros="One line moved; every batch counts once.",
            before="if (i + 1) % accumulation == 0:\n    optimizer.step()\n"
            "    running += loss.item()",
            after="running += loss.item()\nif (i + 1) % accumulation == 0:\n    optimizer.step()",
        ),
        Remedy(
            "Divide by what was counted",
            pros="Cheap where reading the loss stalls the device.",
            cons="The mean is one of a sample.",
            after="    running += loss.item()\n    num_counted += 1\nprint(running / num_counted)",
        ),
    ),
    explains=("TD806",),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare how often totals were added to with the backward passes."""
    run = ask(ShortRun())
    if not run.counts or run.exceptions:
        return
    source = ask(ReadSource()).source
    for row in run.counts:
        branch = uncounted(run, source, row)
        if branch is not None:
            yield on_step_only(run, row, branch)


def uncounted(run: Trace, source: Source, row: CountRow) -> Guard | None:
    """Return the branch that keeps batches out of a total of losses, if one does."""
    function, line = function_at(source, row.place), row.place.line or 0
    if function is None or row.count >= len(run.backwards):
        return None
    added = next((n for n in additions(function) if n.lineno <= line <= (n.end_lineno or 0)), None)
    if added is None or not _names(added.value) & _loss_names(function):
        return None
    branch = _branch(run, source, row.place)
    if branch is None or _is_honest(function, added, source, branch, row.place):
        return None
    return branch


def on_step_only(run: Trace, row: CountRow, branch: Guard) -> Finding:
    """Return the finding for one total."""
    total = row.place.text.partition("+=")[0].strip()
    return ON_STEP_ONLY.finding(
        f"`{row.place.text}` ran {row.count} times while {len(run.backwards)} batches were "
        f"differentiated: it stands under `{branch.place.text}` (line {branch.place.line}), the "
        "backward pass does not.",
        mechanism="The branch runs when the optimizer is due, or when the gradients are usable. "
        "The losses of all other batches are dropped from the total, whose divisor counts them.",
        location=location(row.place),
        also_at=[location(branch.place)],
        evidence=[
            Evidence("times the total was added to", row.count, len(run.backwards)),
            Evidence("share of the batches in it", row.count / len(run.backwards), 1.0),
            Evidence("backward passes", len(run.backwards)),
            Evidence("optimizer steps", len(run.steps)),
            Evidence("condition", branch.test or branch.place.text),
        ],
        remedies=[
            replace(
                ON_STEP_ONLY.remedies[0],
                before=f"{branch.place.text}\n    ...\n    {row.place.text}",
                after=f"{branch.place.text}\n    ...\n{row.place.text}",
            ),
            ON_STEP_ONLY.remedies[1],
        ],
        subject=total,
        total=total,
        num_counted=row.count,
        num_backwards=len(run.backwards),
    )


def _branch(run: Trace, source: Source, place: Place) -> Guard | None:
    """Return the innermost condition around a line that steps too and does not differentiate."""
    above = [row.place for row in run.backwards if row.place.file == place.file]
    around_backward = {guard.place for here in set(above) for guard in guards(source, here)}
    stepping = [here for here, _ in calls(source, "step") if here.file == place.file]
    around_steps = {guard.place for here in stepping for guard in guards(source, here)}
    own = [guard for guard in guards(source, place) if guard.kind in ("if", "else")]
    found = [g for g in own if g.place not in around_backward and g.place in around_steps]
    return found[-1] if found else None


def _is_honest(
    function: Function, added: ast.AugAssign, source: Source, branch: Guard, place: Place
) -> bool:
    """Tell whether the total is divided by a count that is kept in the same branch."""
    total = ast.unparse(added.target)
    counters = {
        ast.unparse(node.target)
        for node in additions(function)
        if node is not added
        and _is_count(node.value)
        and branch.place in {g.place for g in guards(source, _at(place, node.lineno))}
    }
    divisors = [
        node.right
        for node in ast.walk(function)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and total in {ast.unparse(inner) for inner in ast.walk(node.left)}
    ]
    if not divisors:
        return bool(counters)
    inside = [ast.unparse(inner) for divisor in divisors for inner in ast.walk(divisor)]
    is_computed = any(
        isinstance(inner, ast.FloorDiv | ast.Div) for d in divisors for inner in ast.walk(d)
    )
    return is_computed or bool(counters & set(inside))


def _is_count(value: ast.expr) -> bool:
    """Tell `1`, `len(batch)` and `x.size(0)` from a loss."""
    if isinstance(value, ast.Constant):
        return True
    return not any("loss" in name.lower() for name in _names(value))


def _loss_names(function: Function) -> set[str]:
    """Return the names of what is differentiated in a function, and of what is made from it."""
    found = {
        name
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "backward"
        for name in _names(node.func.value)
    } - {"self", "scaler", "scale"}
    made = {name for name in _names(function) if "loss" in name.lower()}
    totals = {name for node in additions(function) for name in _names(node.target)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and _names(node.value) & (found | made):
            targets = {name for target in node.targets for name in _names(target)}
            is_total = isinstance(node.value, ast.BinOp) and targets & _names(node.value.left)
            (totals if is_total else made).update(targets)
    return found | made - totals - {"self"}


def _names(node: ast.AST) -> set[str]:
    """Return names and attributes in an expression: `loss` and `outputs.loss` alike."""
    return {
        inner.id if isinstance(inner, ast.Name) else inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name | ast.Attribute)
    }


def additions(function: Function) -> list[ast.AugAssign]:
    """Return the lines of a function that add to something."""
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)
    ]


def _at(place: Place, line: int) -> Place:
    return Place(place.file, line, place.function)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadSource(), ShortRun()


probe = Probe(
    name="loss-accounting",
    doc=__doc__,
    rules=(ON_STEP_ONLY,),
    examine=examine,
    experiments=experiments,
)
