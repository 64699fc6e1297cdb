"""Finds training loops in source that nobody has run: `for` loops that call `backward`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from traindoctor.probing import Location
from traindoctor.probing.syntax import at, function_at, last_name, subtrees
from traindoctor.trace import SourceRow


def training_loops(row: SourceRow) -> Iterator[ast.For]:
    """Yield each innermost `for` loop of a file in which something is differentiated."""
    for loop in subtrees(row, ast.For):
        inner = (node for node in ast.walk(loop) if isinstance(node, ast.For) and node is not loop)
        if differentiated(loop) and not any(differentiated(node) for node in inner):
            yield loop


def differentiated(node: ast.AST) -> list[ast.expr]:
    """Return what `.backward()` is called on."""
    return [owner for call in method_calls(node, "backward") if (owner := receiver(call))]


def receiver(call: ast.Call) -> ast.expr | None:
    """Return `x` of a call `x.name(…)`."""
    return call.func.value if isinstance(call.func, ast.Attribute) else None


def method_calls(node: ast.AST, name: str) -> list[ast.Call]:
    """Return the calls `x.<name>(…)` in a syntax tree."""
    return [
        inner
        for inner in ast.walk(node)
        if isinstance(inner, ast.Call)
        and isinstance(inner.func, ast.Attribute)
        and inner.func.attr == name
    ]


def mentions(nodes: Iterable[ast.AST], *names: str) -> bool:
    """Tell whether names, attributes or called functions of these last names occur."""
    return any(
        isinstance(inner, ast.Name | ast.Attribute) and last_name(inner) in names
        for node in nodes
        for inner in ast.walk(node)
    )


def spot(row: SourceRow, node: ast.AST) -> Location:
    """Return a syntax node's place as a finding's location."""
    place = at(row, node)
    function = function_at([row], place)
    return Location(file=row.file, line=place.line, symbol=function.name if function else None)
