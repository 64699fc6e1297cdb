"""Reads a file into the scopes in which things are built: functions, methods, the module itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from traindoctor.probing.syntax import last_name

Assignments = tuple[tuple[str, ast.Assign], ...]


@dataclass(frozen=True, eq=False)
class Scope:
    """A function's statements, or a module's outside functions.

    In a method `self.name` reads `name`, where its class assigns that or has a method of the name.

    Attributes:
        file: where it is.
        tree: the whole module.
        assignments: `name = value`, in order of lines.
        parameters: of the function, with their defaults.
        name: of the function.
        kept: what a method assigns to `self`.
        options: where a command line's options are declared.
        methods: those of its class, itself among them.
    """

    file: Path
    tree: ast.Module
    assignments: Assignments
    parameters: Mapping[str, ast.expr | None] = field(default_factory=dict)
    name: str = ""
    kept: frozenset[str] = frozenset()
    options: tuple[ast.Expr, ...] = ()
    methods: list[Scope] = field(default_factory=list)

    def before(self, name: str, line: int) -> ast.Assign | None:
        """Return the last assignment to a name above a line."""
        found = [n for target, n in self.assignments if target == name and n.lineno < line]
        return found[-1] if found else None

    def elsewhere(self, name: str) -> tuple[ast.Assign, Scope] | None:
        """Return the last assignment of another method to an attribute, with its scope."""
        for method in self.methods:
            if method is not self and name in method.kept:
                found = [node for target, node in method.assignments if target == name]
                if found:
                    return found[-1], method
        return None

    def given(self, name: str) -> Scope | None:
        """Return the function, this one or another of its class, that is given a name."""
        kept = (m for m in self.methods if name in m.kept and name in m.parameters)
        return self if name in self.parameters else next(kept, None)


def parse(file: Path) -> ast.Module:
    """Return a file's tree, an empty one where it is not Python."""
    try:
        return ast.parse(file.read_text(encoding="utf-8", errors="replace"))
    except (SyntaxError, ValueError):  # ValueError: null bytes, before Python 3.12
        return ast.Module([], [])


def scopes(file: Path) -> Iterator[Scope]:
    """Yield the scopes of a file."""
    tree = parse(file)
    options = tuple(_options(tree.body))
    yield Scope(file, tree, tuple(_assignments(tree.body)), options=options)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and _holds(node)]
    for holder in classes:
        yield from _methods(file, tree, holder)
    methods = {id(statement) for holder in classes for statement in holder.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and id(node) not in methods:
            found, options = tuple(_assignments(node.body)), tuple(_options(node.body))
            yield Scope(file, tree, found, _parameters(node), node.name, options=options)


def _holds(node: ast.ClassDef) -> bool:
    """Tell whether a class may hold what is trained: a module's parts are its own."""
    return not any(last_name(base).endswith("Module") for base in node.bases)


def _methods(file: Path, tree: ast.Module, node: ast.ClassDef) -> Iterator[Scope]:
    functions = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.args.args]
    kept = {id(f): _kept(f) for f in functions}
    own = frozenset[str]().union(*kept.values()) | {f.name for f in functions}
    methods: list[Scope] = []
    for function in functions:
        me = function.args.args[0].arg
        plain = [_Bare(me, own).visit(statement) for statement in function.body]
        found = tuple(_assignments(plain))
        parameters = {n: value for n, value in _parameters(function).items() if n != me}
        methods.append(Scope(file, tree, found, parameters, function.name, kept[id(function)]))
    for method in methods:
        method.methods.extend(methods)
    yield from methods


def _kept(function: ast.FunctionDef) -> frozenset[str]:
    me = function.args.args[0].arg
    return frozenset(
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and last_name(node.value) == me
    )


class _Bare(ast.NodeTransformer):
    """Makes `self.name` the name alone."""

    def __init__(self, me: str, names: frozenset[str]) -> None:
        self.me, self.names = me, names

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if (
            isinstance(node.value, ast.Name)
            and node.value.id == self.me
            and node.attr in self.names
        ):
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        return node


def _parameters(function: ast.FunctionDef) -> dict[str, ast.expr | None]:
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args)]
    found: dict[str, ast.expr | None] = dict.fromkeys(names)
    found |= dict(zip(reversed(names), reversed(given.defaults), strict=False))
    return found | dict(zip([a.arg for a in given.kwonlyargs], given.kw_defaults, strict=True))


def _assignments(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.Assign]]:
    """Yield assignments to names, within `if`, `with` and the like but not in functions."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            plain = ast.Assign([node.target], node.value)
            yield from _bound(ast.copy_location(plain, node))
        if isinstance(node, ast.Assign):
            yield from _bound(node)
        for block in ("body", "orelse", "finalbody"):
            yield from _assignments(getattr(node, block, []))


def _options(body: Sequence[ast.stmt]) -> Iterator[ast.Expr]:
    """Yield `parser.add_argument(…)`, within blocks too."""
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if last_name(node.value.func) == "add_argument":
                yield node
        elif isinstance(node, ast.If | ast.With | ast.For):
            yield from _options(node.body)


def _bound(node: ast.Assign) -> Iterator[tuple[str, ast.Assign]]:
    """Yield the names that a statement binds: not `name = name`, left of `self.name = name`."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name):
        if not (isinstance(value, ast.Name) and value.id == target.id):
            yield target.id, node
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        if len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                yield from _bound(ast.copy_location(ast.Assign([one], its), node))
    elif isinstance(target, ast.Tuple):
        for one in target.elts:
            if isinstance(one, ast.Name):
                yield one.id, node
