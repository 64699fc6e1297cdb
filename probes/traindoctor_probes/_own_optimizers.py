"""An optimizer that the user wrote: whether it climbs its gradient, and on which line."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from traindoctor.probing.syntax import at, function_at
from traindoctor.trace import OptimizerRow, Place, SourceRow, Trace

FEWEST = 5  # steps
ALONG = 0.2  # cosine with the gradient: 0.4 to 1 where Adam, Lion or SGD are turned around
_WRITES = ("add_", "sub_", "addcdiv_", "addcmul_", "copy_", "lerp_")


def climbs(run: Trace) -> bool:
    """Tell whether every step of a run went with the gradient and not against it."""
    cosines = [row.cosine for row in run.steps]
    return len(cosines) >= FEWEST and all(c is not None and c > ALONG for c in cosines)


def writing_line(source: Iterable[SourceRow], optimizer: OptimizerRow) -> Place:
    """Return the line of an optimizer's `step` that moves the weights, else where it begins."""
    rows = [row for row in source if row.file == optimizer.step_place.file]
    function = function_at(rows, optimizer.step_place)
    if function is None or not optimizer.step_place:
        return optimizer.step_place
    weights = set(_weights(function))
    lines = [
        node
        for node in ast.walk(function)
        if isinstance(target := _written(node), ast.expr) and _root(target) in weights
    ]
    return at(rows[0], lines[0]) if len(lines) == 1 else optimizer.step_place


def _weights(function: ast.AST) -> Iterator[str]:
    """Yield the names of the loops' variables that go through a group's parameters."""
    for loop in ast.walk(function):
        if isinstance(loop, ast.For) and "params" in ast.unparse(loop.iter):
            yield from (name.id for name in ast.walk(loop.target) if isinstance(name, ast.Name))


def _written(node: ast.AST) -> ast.expr | None:
    """Return what a call or a statement adds to, or overwrites."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
        return node.target
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.value if node.func.attr in _WRITES else None
    return None


def _root(expression: ast.expr) -> str:
    """Return `p` for both `p` and `p.data`."""
    if isinstance(expression, ast.Attribute):
        return _root(expression.value) if expression.attr == "data" else ""
    return expression.id if isinstance(expression, ast.Name) else ""
