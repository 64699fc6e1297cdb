"""Finds counters that a learning rate is computed from, and that nothing counts up."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from traindoctor.experiments import ReadSource
from traindoctor.probing import Ask, Evidence, Finding, Remedy, Rule
from traindoctor.probing.syntax import Function, at, last_name, subtrees
from traindoctor.probing.wording import counted, figure, location
from traindoctor.trace import Place, SourceRow, StepRow

COUNTERS = {
    *("step", "steps", "step_num", "step_count", "global_step", "current_step", "cur_step"),
    *("n_steps", "num_steps", "num_updates", "iteration", "iter", "it", "epoch", "current_epoch"),
    *("count", "counter", "t"),
}
LEAST_STEPS = 5  # at one rate
COUNTED = Remedy(
    "Count the steps",
    recommended=True,
    before="optimizer.step()",
    after="optimizer.step()\nself.step += 1",
)


@dataclass(frozen=True, slots=True)
class Stuck:
    """An attribute that is set once and read wherever the rate is computed."""

    name: str  # as it is read, such as `self.step`
    rate_place: Place  # where the rate is written
    place: Place  # where the attribute is set


def standing(
    rule: Rule, ask: Ask, steps: Sequence[StepRow], rates: Sequence[tuple[float, int]]
) -> Iterator[Finding]:
    """Yield the finding for a rate that is computed from a count which stands still.

    `rates` are those that were seen, each with the number of steps that were taken at it.
    """
    total = sum(count for _, count in rates)
    stands = total >= LEAST_STEPS and len({rate for rate, _ in rates}) == 1
    stuck = stuck_counter(ask(ReadSource()).source) if stands else None
    if stuck is None:
        return
    rate = figure(rates[0][0])
    yield rule.finding(
        f"All {total} steps were taken at a rate of {rate}. It is computed from `{stuck.name}`, "
        "which is set once and which nothing counts up.",
        mechanism="A schedule that is computed by hand is as far as its counter is.",
        location=location(stuck.rate_place),
        also_at=[location(stuck.place)],
        evidence=[
            Evidence("different rates in all steps", 1, "more"),
            Evidence("steps observed", total),
        ],
        remedies=[COUNTED],
        subject=f"optimizer {steps[0].optimizer}",
        level=f"that of the schedule's beginning, {rate},",
        share=f"all of {counted(total, 'step')}",
        why=f"`{stuck.name}` is never counted up",
    )


def stuck_counter(source: tuple[SourceRow, ...]) -> Stuck | None:
    """Return the counter of the only code that writes learning rates, if it never changes.

    Only an attribute of a class without a base, which might count itself.
    """
    found = [
        (row, function, written)
        for row in source
        for function in subtrees(row, ast.FunctionDef)
        for written in ast.walk(function)
        if isinstance(written, ast.Assign) and any(map(_is_rate, written.targets))
    ]
    if len(found) != 1 or any(_is_dynamic(row) for row in source):
        return None
    row, function, written = found[0]
    for read in _read_for(function, written.value):
        set_at = _set_once(source, read.attr)
        if read.attr.strip("_") in COUNTERS and set_at:
            return Stuck(ast.unparse(read), at(row, written), set_at)
    return None


def _is_rate(target: ast.expr) -> bool:
    key = target.slice if isinstance(target, ast.Subscript) else None
    return isinstance(key, ast.Constant) and key.value == "lr"


def _is_dynamic(row: SourceRow) -> bool:
    """Tell code that may set an attribute without naming it."""
    named = {node.attr for node in subtrees(row, ast.Attribute)}
    called = {last_name(node.func) for node in subtrees(row, ast.Call)}
    return bool({"__dict__", "__setattr__"} & named or {"setattr", "vars", "exec"} & called)


def _read_for(function: Function, value: ast.expr) -> Iterator[ast.Attribute]:
    """Yield the attributes that a value is computed from, by way of a function's variables."""
    names: set[str] = set()
    parts: list[ast.AST] = [value]
    while parts:
        part = parts.pop()
        yield from (node for node in ast.walk(part) if isinstance(node, ast.Attribute))
        fresh = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)} - names
        names |= fresh
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and fresh & set(map(last_name, node.targets)):
                parts.append(node.value)
            elif isinstance(node, ast.If) and fresh & _assigned_in(node):
                parts.append(node.test)


def _assigned_in(branch: ast.If) -> set[str]:
    return {
        last_name(target)
        for node in ast.walk(branch)
        if isinstance(node, ast.Assign)
        for target in node.targets
    }


def _set_once(source: tuple[SourceRow, ...], name: str) -> Place:
    """Return where a class without a base sets an attribute to a number, if nothing else does."""
    written = [
        node
        for row in source
        for node in subtrees(row, ast.Attribute)
        if node.attr == name and not isinstance(node.ctx, ast.Load)
    ]
    plain = [
        at(row, node)
        for row in source
        for owner in subtrees(row, ast.ClassDef)
        if not owner.bases
        for node in ast.walk(owner)
        if isinstance(node, ast.Assign) and node.targets[0] in written
        if isinstance(node.value, ast.Constant) and node.value.value in (0, 1)
    ]
    return plain[0] if len(written) == len(plain) == 1 else Place()
