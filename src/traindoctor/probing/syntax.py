"""Asks the user's source, as a trace holds it, for the lines that a finding should point at."""

from __future__ import annotations

import ast
import math
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from traindoctor.trace import Place, SourceRow

Function = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NO_ARGUMENTS = ast.arguments([], [], None, [], [], None, [])
Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True, slots=True)
class Guard:
    """A statement around a line: what decides whether, or how often, the line runs."""

    kind: str  # if, else, try, except, for or while
    place: Place
    test: str = ""  # the condition, as written


@dataclass(frozen=True, slots=True)
class Use:
    """One place where a module's own code reads `self.<attribute>`."""

    place: Place
    is_conditional: bool  # under an `if`, or picked out by an index that is not a constant


def calls(source: Iterable[SourceRow], *names: str) -> list[tuple[Place, ast.Call]]:
    """Return every call of something by one of these last names, in order of files and lines."""
    found = [
        (at(row, node), node)
        for row in source
        for node in ast.walk(_tree(row.text))
        if isinstance(node, ast.Call) and last_name(node.func) in names
    ]
    return sorted(found, key=lambda item: (item[0].file or "", item[0].line or 0))


def assigned(source: Iterable[SourceRow], attribute: str) -> list[tuple[Place, ast.expr]]:
    """Return every assignment `x.<attribute> = value`, with the value."""
    return [
        (at(row, node), node.value)
        for row in source
        for node in ast.walk(_tree(row.text))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and target.attr == attribute
    ]


def additions(source: Iterable[SourceRow], name: str) -> list[tuple[Place, ast.expr]]:
    """Return every statement that adds to a variable or attribute of this last name, with it.

    `x.append(…)`, `x += …`, `x[…] = …` and `x = x + …` add to `x`.
    """
    found: list[tuple[Place, ast.expr]] = []
    for row in source:
        for node in ast.walk(_tree(row.text)):
            whole = map(_without_index, _added_to(node))
            found += [(at(row, node), target) for target in whole if last_name(target) == name]
    return found


def setters(source: Iterable[SourceRow], place: Place, name: str) -> list[Place]:
    """Return the lines that set a variable in a line's function; first those that add to it."""
    function = function_at(source, place)
    here = [row for row in source if row.file == place.file]
    if function is None:
        return []
    first, last = function.lineno, function.end_lineno or math.inf
    added = [found for found, _ in additions(here, name)]
    plain = [
        at(row, node)
        for row in here
        for node in ast.walk(_tree(row.text))
        if isinstance(node, ast.Assign)
        if name in (last_name(part) for target in node.targets for part in parts(target))
    ]
    return [found for found in (*added, *plain) if first <= (found.line or 0) <= last]


def carried(source: Iterable[SourceRow], place: Place) -> list[str]:
    """Return the variables that the loop around a line hands from each round to the next.

    They are given to a call, and come back from it: `output, hidden = model(inputs, hidden)`. What
    each round begins with is another matter.
    """
    loops = [node for node in _around(source, place) if isinstance(node, ast.For | ast.While)]
    inside = list(ast.walk(loops[-1])) if loops else []
    rounds = [node.target for node in inside if isinstance(node, ast.For)]
    fresh, found = set[str]().union(*map(_names, rounds)), dict[str, None]()
    assignments = [node for node in inside if isinstance(node, ast.Assign)]
    for node in sorted(assignments, key=lambda node: node.lineno):
        given = _names(node.value)
        targets = [part for target in node.targets for part in parts(target)]
        for name in [part.id for part in targets if isinstance(part, ast.Name)]:
            if name not in given:
                fresh.add(name)
            elif name not in fresh and isinstance(node.value, ast.Call):
                found[name] = None
    return list(found)


def function_at(source: Iterable[SourceRow], place: Place) -> Function | None:
    """Return the innermost function that a line stands in.

    A file's lines outside all functions are those of one that is named `<module>`.
    """
    row = next((row for row in source if row.file == place.file), None)
    found: Function | None = _module(row.text) if row else None
    for node in _around([row], place) if row else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = node
    return found


def statement_at(source: Iterable[SourceRow], place: Place) -> tuple[ast.stmt | None, str]:
    """Return the innermost statement that a line stands in, and its own text without indent."""
    row = next((row for row in source if row.file == place.file), None)
    found = None
    for node in _around([row], place) if row else ():
        if isinstance(node, ast.stmt):
            found = node
    if row is None or found is None:
        return None, ""
    lines = row.text.splitlines()[found.lineno - 1 : found.end_lineno]
    return found, textwrap.dedent("\n".join(lines))


def guards(source: Iterable[SourceRow], place: Place) -> list[Guard]:
    """Return the statements around a line within its function, the outermost first."""
    rows = [row for row in source if row.file == place.file]
    found: list[Guard] = []
    for node in _around(rows, place):
        kind = _kind(node, place.line or 0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = []
        elif kind:
            test = getattr(node, "test", None)
            text = ast.unparse(test) if test is not None else ""
            found.append(Guard(kind, at(rows[0], node), text))
    return found


def uses(source: Iterable[SourceRow], attribute: str) -> list[Use]:
    """Return where methods other than constructors and initialisers read `self.<attribute>`.

    `getattr(self, name)` may read any attribute, so it counts as a conditional use of each.
    """
    return [
        Use(at(row, node), is_conditional)
        for row in source
        for method in ast.walk(_tree(row.text))
        if isinstance(method, ast.FunctionDef) and method.args.args
        if not _initialises(method.name)
        for node, name, is_conditional in _reads(method, method.args.args[0].arg, False)
        if name in (attribute, None)
    ]


def subtrees(row: SourceRow, kind: type[Node]) -> Iterator[Node]:
    """Yield every syntax node of one kind in a file."""
    return (node for node in ast.walk(_tree(row.text)) if isinstance(node, kind))


def at(row: SourceRow, node: ast.AST) -> Place:
    """Return a syntax node's place."""
    line = int(getattr(node, "lineno", 0))
    return Place(row.file, line, None, row.text.splitlines()[line - 1].strip())


def parts(node: ast.expr) -> list[ast.expr]:
    """Return what stands on one side of an assignment, one by one."""
    return list(node.elts) if isinstance(node, ast.Tuple | ast.List) else [node]


def last_name(node: ast.expr) -> str:
    """Return `AdamW` for both `AdamW` and `torch.optim.AdamW`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@lru_cache(maxsize=256)
def _module(text: str) -> Function:
    """Return a file's statements outside its functions and classes, as those of a function."""
    body = [node for node in _tree(text).body if not isinstance(node, DEFINITIONS)]
    whole = ast.FunctionDef("<module>", _NO_ARGUMENTS, body, [], lineno=1, col_offset=0)
    whole.end_lineno = text.count("\n") + 1
    return whole


@lru_cache(maxsize=256)
def _tree(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError:  # a notebook's magics; it ran, so there is nothing to complain of
        return ast.Module([], [])


def _around(source: Iterable[SourceRow], place: Place) -> Iterator[ast.AST]:
    """Yield the nodes whose lines hold a place, the outermost first."""
    for row in source:
        frontier: list[ast.AST] = [_tree(row.text)] if row.file == place.file else []
        while frontier:
            frontier = [
                child
                for node in frontier
                for child in ast.iter_child_nodes(node)
                if _holds(child, place.line or 0)
            ]
            yield from frontier


def _holds(node: ast.AST, line: int) -> bool:
    first, last = getattr(node, "lineno", None), getattr(node, "end_lineno", None)
    return first is None or last is None or first <= line <= last


def _kind(node: ast.AST, line: int) -> str:
    if isinstance(node, ast.If):
        return "if" if line <= (node.body[-1].end_lineno or 0) else "else"
    if isinstance(node, ast.Try):
        return "try" if line <= (node.body[-1].end_lineno or 0) else "except"
    if isinstance(node, ast.For | ast.AsyncFor):
        return "for"
    return "while" if isinstance(node, ast.While) else ""


def _added_to(node: ast.AST) -> list[ast.expr]:
    """Return what a statement or a call adds to."""
    if isinstance(node, ast.AugAssign):
        return [node.target]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        is_adding = node.func.attr in ("append", "extend", "insert", "add", "appendleft")
        return [node.func.value] if is_adding else []
    if not isinstance(node, ast.Assign):
        return []
    inside = {ast.unparse(inner) for inner in ast.walk(node.value)}
    return [
        part
        for target in node.targets
        for part in parts(target)
        if isinstance(part, ast.Subscript)
        or (isinstance(part, ast.Name | ast.Attribute) and ast.unparse(part) in inside)
    ]


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _without_index(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def _initialises(name: str) -> bool:
    return name == "__init__" or name.strip("_").startswith(("init", "reset"))


def _reads(
    node: ast.AST, owner: str, conditional: bool
) -> Iterator[tuple[ast.AST, str | None, bool]]:
    """Yield where attributes of `owner` are read, by name (None: any), and if conditionally."""
    for child in ast.iter_child_nodes(node):
        inner = conditional or (isinstance(node, ast.If | ast.IfExp) and child is not node.test)
        inner = inner or (isinstance(node, ast.Subscript) and _is_chosen(node.slice))
        if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Load):
            if isinstance(child.value, ast.Name) and child.value.id == owner:
                yield child, child.attr, inner
        elif isinstance(child, ast.Call) and last_name(child.func) == "getattr" and child.args[1:]:
            name = child.args[1].value if isinstance(child.args[1], ast.Constant) else None
            yield child, name if isinstance(name, str) else None, inner or name is None
        yield from _reads(child, owner, inner)


def _is_chosen(index: ast.expr) -> bool:
    """Tell `layers[i]` and `layers[:n]` from `layers[0]` and `layers[1:]`."""
    return any(isinstance(node, ast.Name | ast.Attribute | ast.Call) for node in ast.walk(index))
