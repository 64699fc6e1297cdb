"""A model that a helper is given, keeps as it is, and freezes: a running average without a copy."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from traindoctor.probing.syntax import at, function_at, subtrees
from traindoctor.trace import Place, Trace

_AS_IT_IS = {"eval", "train", "to", "cuda", "cpu", "float", "requires_grad_"}  # return the module


def kept_as_given(known: Trace, freezing: Place) -> Place:
    """Return where a class keeps the model that a line of its freezes, if it was given that.

    Not where the class is a module of the model's own: such a one may freeze what it wraps.
    """
    row = next((row for row in known.source if row.file == freezing.file), None)
    function = function_at(known.source, freezing)
    if row is None or function is None:
        return Place()
    modules = {module.class_name for module in known.modules}
    if any(function in node.body and node.name in modules for node in subtrees(row, ast.ClassDef)):
        return Place()
    given = {argument.arg for argument in function.args.args[1:]}
    frozen = set(_frozen(function, freezing.line or 0))
    found = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and any(ast.unparse(target) in frozen for target in node.targets)
        and _unchanged(node.value) in given
    ]
    return at(row, found[0]) if len(found) == 1 else Place()


def _frozen(function: ast.AST, line: int) -> Iterator[str]:
    """Yield the attributes of `self` that a line freezes, itself or in a loop over parameters."""
    for node in ast.walk(function):
        lines = range(getattr(node, "lineno", 0), (getattr(node, "end_lineno", 0) or 0) + 1)
        if line not in lines:
            continue
        if isinstance(node, ast.Assign):
            found = [ast.unparse(target) for target in node.targets]
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Call):
            found = [ast.unparse(node.iter.func).removesuffix(".parameters")]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found = [ast.unparse(node.func.value)]
        else:
            continue
        yield from (name for name in found if name.startswith("self."))


def _unchanged(value: ast.expr) -> str:
    """Return the variable behind calls that return the module that they are of."""
    while (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in _AS_IT_IS
    ):
        value = value.func.value
    return value.id if isinstance(value, ast.Name) else ""
