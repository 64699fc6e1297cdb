"""Writes the beginning of a factory for `check` out of what was seen of a script."""

from __future__ import annotations

import ast
import builtins
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from traindoctor.target.source import parse
from traindoctor.trace import Place, Trace

if TYPE_CHECKING:
    from typing import TypeGuard

HEAD = '''"""A starting point for `traindoctor check {name}:setup`, from {script}.

The statements are the script's own. What a name stands for that is not defined here was not found.
"""
'''
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)


def starting_point(run: Trace, first_step: Trace | None, name: str) -> str:
    """Return the text of a file that defines `setup`.

    Args:
        run: the first steps of a script.
        first_step: the first of them, seen closely, if it was.
        name: what the file is to be called.
    """
    script = run.setup.factory.file or ""
    parts = [*_parts(run)]
    needed = _Needed(script, [node for _, _, _, node in parts])
    body = [*needed.statements, *(f"{line}  # {where}" for _, line, where, _ in parts)]
    entries = {key: line.partition(" = ")[0] for key, line, _, _ in parts}
    for key in ("model", "loader"):
        if key not in entries:
            body.insert(0, f"{key} = ...  # was not seen to be built")
            entries[key] = key
    functions = {row.function for row in first_step.criteria} if first_step else set()
    if len(functions) == 1:
        entries["loss_fn"] = f"torch.nn.functional.{functions.pop()}"
    imports = dict.fromkeys([*needed.imports, "import torch"])
    returned = ", ".join(f'"{key}": {value}' for key, value in entries.items())
    blocks = [
        HEAD.format(name=name, script=os.path.basename(script) or "a module"),
        "\n".join(imports) + "\n",
        *("\n" + definition + "\n" for definition in needed.definitions),
        "\ndef setup():",
        *("\n".join(f"    {line}" for line in text.splitlines()) for text in body),
        f"    return {{{returned}}}\n",
    ]
    return "\n".join(blocks)


def _parts(run: Trace) -> Iterator[tuple[str, str, str, ast.stmt]]:
    """Yield what is handed over: its name, its statement as text, its place, and as syntax."""
    places = [("model", run.setup.model_place), ("loader", run.setup.loader_place)]
    places += [("optimizer", row.place) for row in run.optimizers[:1]]
    for key, place in places:
        found = _statement(place)
        value = getattr(found, "value", None)
        if found is None or value is None:
            continue
        target = found.targets[0] if isinstance(found, ast.Assign) else None
        variable = target.id if isinstance(target, ast.Name) else key
        where = f"{os.path.basename(place.file or '')}:{place.line}"
        yield key, f"{variable} = {ast.unparse(value)}", where, found


def _statement(place: Place) -> ast.stmt | None:
    """Return the innermost statement with a value that a line belongs to."""
    tree = parse(place.file) if place.file else None
    found: ast.stmt | None = None
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return):
            continue
        if node.lineno <= (place.line or 0) <= (node.end_lineno or node.lineno):
            found = node
    return found


class _Needed:
    """What a script's statements use: imports, definitions, and statements before them."""

    def __init__(self, script: str, found: Sequence[ast.stmt]) -> None:
        self.tree = (parse(script) if script else None) or ast.Module([], [])
        self.imports: list[str] = []
        self.definitions: list[str] = []
        self.statements: list[str] = []
        self._imported = {
            alias.asname or alias.name.partition(".")[0]: node
            for node in self.tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        self._defined = {n.name: n for n in self.tree.body if isinstance(n, _DEFINITIONS)}
        self._known: set[str] = set(dir(builtins))
        for statement in found:
            self._known |= {n.id for n in ast.walk(statement) if _is(n, ast.Store)}
        for statement in found:
            self._use(statement, self._scope(statement), statement.lineno)

    def _use(self, node: ast.AST, scope: Sequence[ast.stmt], before: int) -> None:
        for inner in ast.walk(node):
            if _is(inner, ast.Load) and inner.id not in self._known:
                self._known.add(inner.id)
                self._define(inner.id, scope, before)

    def _define(self, name: str, scope: Sequence[ast.stmt], before: int) -> None:
        if name in self._imported:
            self.imports.append(ast.unparse(self._imported[name]))
            return
        if name in self._defined:
            node = self._defined[name]
            self._use(node, self.tree.body, node.lineno)
            self.definitions.append(ast.unparse(node))
            return
        for inside in (scope, self.tree.body):
            earlier = [
                node
                for node in inside
                if node.lineno < before
                and isinstance(node, ast.Assign)
                and any(_is(n, ast.Store) and n.id == name for n in ast.walk(node))
            ]
            if earlier:
                self._known |= {n.id for n in ast.walk(earlier[-1]) if _is(n, ast.Store)}
                self._use(earlier[-1], inside, earlier[-1].lineno)
                self.statements.append(ast.unparse(earlier[-1]))
                return

    def _scope(self, statement: ast.stmt) -> Sequence[ast.stmt]:
        """Return the statements of the innermost function around one, else the module's."""
        found: Sequence[ast.stmt] = self.tree.body
        for node in ast.walk(self.tree):
            if isinstance(node, _FUNCTIONS) and any(n is statement for n in ast.walk(node)):
                found = node.body
        return found


def _is(node: ast.AST, context: type[ast.expr_context]) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, context)
