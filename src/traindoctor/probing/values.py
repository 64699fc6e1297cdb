"""Asks the user's source where values come from: settings, learning rates, counters."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import TypeGuard

from traindoctor.probing.syntax import assigned, at, calls, function_at, last_name, subtrees
from traindoctor.trace import Place, SourceRow

_NO_WRITES = ("clip_grad", "requires_grad", "unscale", "detach", "zero_grad", "_")


def keyword_places(source: Iterable[SourceRow], name: str) -> list[Place]:
    """Return where a value is given under a name: as keyword of a call, or as key of a dict."""
    found = []
    for row in source:
        for node in subtrees(row, ast.AST):
            if isinstance(node, ast.Call):
                found += [at(row, key.value) for key in node.keywords if key.arg == name]
            elif isinstance(node, ast.Dict):
                found += [
                    at(row, key)
                    for key in node.keys
                    if isinstance(key, ast.Constant) and key.value == name
                ]
    return found


def in_place_writes(source: Iterable[SourceRow]) -> list[Place]:
    """Return where code may write to weights: `x.mul_(…)`, `x.data = …`, `load_state_dict(…)`.

    Not where weights are initialised, nor what is done to gradients.
    """
    found = []
    for row in source:
        for node in subtrees(row, ast.AST):
            name = last_name(node.func) if isinstance(node, ast.Call) else ""
            is_write = name.endswith("_") or name in ("load_state_dict", "vector_to_parameters")
            if isinstance(node, ast.Assign):
                is_write = any(
                    isinstance(t, ast.Attribute) and t.attr == "data" for t in node.targets
                )
            if is_write and not name.startswith(_NO_WRITES):
                found.append(at(row, node))
    found.sort(key=lambda place: (place.file or "", place.line or 0))
    return [place for place in dict.fromkeys(found) if not _initialises(source, place)]


def _initialises(source: Iterable[SourceRow], place: Place) -> bool:
    function = function_at(source, place)
    name = function.name.strip("_") if function is not None else ""
    return name.startswith(("init", "reset"))


def written_rates(source: Iterable[SourceRow]) -> list[Place]:
    """Return where code sets a learning rate by hand, `group["lr"] = …`."""
    return [
        at(row, node)
        for row in source
        for node in subtrees(row, ast.AST)
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Subscript)
        if isinstance(target.slice, ast.Constant) and target.slice.value == "lr"
    ]


def resumed_counters(source: Iterable[SourceRow]) -> list[str]:
    """Return the keys that code reads from anything to begin a count with.

    `range(x["epoch"], n)`, `train(start_epoch=x["epoch"])`, or `first = x["epoch"] + 1` where a
    `range`, a comparison or a sum goes on from `first`. What is only printed does not count.
    """
    found: list[str] = []
    for row in source:
        counting = {name for node in subtrees(row, ast.AST) for name in _counts_from(node)}
        for node in subtrees(row, ast.AST):
            if isinstance(node, ast.Call) and last_name(node.func) == "range":
                found += [key for argument in node.args for key in _keys_in(argument)]
            elif isinstance(node, ast.keyword) and _is_start(node.arg or ""):
                found += _keys_in(node.value)
            elif isinstance(node, ast.Assign):
                names = {last_name(target) for target in node.targets}
                found += _keys_in(node.value) if names & counting else []
    return found


def _counts_from(node: ast.AST) -> set[str]:
    """Return the names that a loop's head, a comparison or a sum counts with."""
    parts: list[ast.expr] = []
    if isinstance(node, ast.Call) and last_name(node.func) == "range":
        parts = node.args
    elif isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.AugAssign):
        parts = [node.target]
    return {last_name(inner) for part in parts for inner in ast.walk(part) if _is_name(inner)}


def _keys_in(node: ast.AST) -> list[str]:
    """Return the constant keys that an expression reads: `x["key"]` and `x.get("key")`."""
    found = []
    for inner in ast.walk(node):
        key: ast.expr | None = None
        if isinstance(inner, ast.Subscript):
            key = inner.slice
        elif isinstance(inner, ast.Call) and last_name(inner.func) in ("get", "pop"):
            key = inner.args[0] if inner.args else None
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            found.append(key.value)
    return found


def _is_name(node: ast.AST) -> TypeGuard[ast.expr]:
    return isinstance(node, ast.Name | ast.Attribute)


def _is_start(name: str) -> bool:
    return name.startswith(("start", "first", "initial", "begin"))


def freezing_line(source: Sequence[SourceRow]) -> Place:
    """Return the one line that sets `requires_grad` to False; of several, none."""
    lines = [place for place, call in calls(source, "requires_grad_") if _is_false(call.args[:1])]
    lines += [place for place, value in assigned(source, "requires_grad") if _is_false([value])]
    return lines[0] if len(lines) == 1 else Place()


def _is_false(values: Sequence[ast.expr]) -> bool:
    return any(isinstance(value, ast.Constant) and value.value is False for value in values)
