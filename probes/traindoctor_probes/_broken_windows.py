"""Finds the line that clears gradients before a window of accumulation is over."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from traindoctor.probing.syntax import Guard, calls, function_at, guards, statement_at
from traindoctor.trace import Place, SourceRow


def cleared_within(source: Sequence[SourceRow], backward: Place, around: Sequence[Guard]) -> Place:
    """Return the line that clears gradients which were to be added up until the step's turn comes.

    They were if the loss is divided: by the number of batches that one step is to use.
    """
    function = function_at(source, backward)
    if function is None or not around or not _is_divided(source, backward, function):
        return Place()
    clears = [
        place
        for place, _ in calls(source, "zero_grad")
        if place.file == backward.file
        and function.lineno <= (place.line or 0) <= (function.end_lineno or 0)
        and around[-1].place not in [guard.place for guard in guards(source, place)]
    ]
    return clears[0] if len(clears) == 1 else Place()


def _is_divided(source: Sequence[SourceRow], backward: Place, function: ast.AST) -> bool:
    """Tell whether what a line differentiates is a quotient, there or where it is assigned."""
    statement, _ = statement_at(source, backward)
    losses = [
        node.func.value
        for node in (ast.walk(statement) if statement is not None else ())
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr == "backward"
    ]
    names = {ast.unparse(loss) for loss in losses}
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign) and ast.unparse(node.target) in names:
            losses.append(ast.BinOp(node.target, node.op, node.value))
        if isinstance(node, ast.Assign) and names & set(map(ast.unparse, node.targets)):
            losses.append(node.value)
    return any(isinstance(loss, ast.BinOp) and isinstance(loss.op, ast.Div) for loss in losses)
