"""Writes a factory out of the statements with which a project builds what it trains."""

from __future__ import annotations

import ast
import builtins
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from traindoctor.probing.syntax import last_name
from traindoctor.scaffolding.project import Part, dotted_name, train_loops, trains_on_import
from traindoctor.scaffolding.scopes import Scope
from traindoctor.target.setup import ALIASES

HEAD = '''"""What traindoctor examines: `traindoctor check {name}:setup`.

The statements are those of {source}. Where `...` stands, something is to be completed.
"""
'''
WHOLE = ("model", "loader", "optimizer")
PARSE = ("parse_args", "parse_known_args")


@dataclass
class Factory:
    """The text of a factory, and what is missing in it.

    Attributes:
        text: the file.
        missing: names that stand for `...`.
        runs_on_import: files that train when they are imported.
    """

    text: str
    missing: list[str] = field(default_factory=list)
    runs_on_import: list[str] = field(default_factory=list)


def write_factory(
    parts: Mapping[str, Part], files: Sequence[Path], path: Path, root: Path
) -> Factory:
    """Return a factory that builds these parts.

    Args:
        parts: what was found, by the names that a factory returns.
        files: the project's files, for a training loop of its own.
        path: where the factory will stand.
        root: the folder that paths in comments are relative to.
    """
    made = _Writer(path.parent)
    order = sorted(parts.values(), key=lambda part: (*WHOLE, part.key).index(part.key))
    for part in order:
        made.build(part, f"{os.path.relpath(part.scope.file, root)}:{part.node.lineno}")
    returned = _returned(parts, files, made)
    sources = dict.fromkeys(os.path.relpath(part.scope.file, root) for part in order)
    text = "\n".join(
        [
            HEAD.format(name=path.name, source=", ".join(sources) or "your own"),
            *made.import_lines(),
            "\n\ndef setup():",
            *(f"    {line}" for line in made.lines),
            *(f"    {line}" for line in returned),
            "",
        ]
    )
    return Factory(text, made.missing, list(dict.fromkeys(made.runs_on_import)))


def _returned(parts: Mapping[str, Part], files: Sequence[Path], made: _Writer) -> list[str]:
    """Return the lines of the `return` statement, after what it still needs."""
    if "trainer" in parts:
        return [f"return {parts['trainer'].name}"]
    for key in WHOLE[:2]:
        if key not in parts and key not in made.known:
            made.placeholder(key)
    entries = {key: parts[key].name if key in parts else key for key in (*WHOLE[:2], *parts)}
    for file, loop in train_loops(files):
        if _can_be_called(loop, {*entries, "epochs", "device"}):
            made.import_from(file, loop.name)
            entries["train_loop"] = loop.name
            break
    return ["return {", *(f'    "{key}": {value},' for key, value in entries.items()), "}"]


def _can_be_called(loop: ast.FunctionDef, available: set[str]) -> bool:
    """Tell whether what a loop requires can be passed to it by name."""
    num_optional = len(loop.args.defaults)
    positional = loop.args.args[: len(loop.args.args) - num_optional]
    keywords = zip(loop.args.kwonlyargs, loop.args.kw_defaults, strict=True)
    required = [a.arg for a in (*positional, *(a for a, value in keywords if value is None))]
    return bool(loop.args.args) and {ALIASES.get(name, name) for name in required} <= available


class _Writer:
    """Collects imports and statements; each name is defined once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.imports: set[str] = set()
        self.homes: set[str] = set()  # of the project's modules, where that is not beside the file
        self.taken: dict[str, set[str]] = {}  # names by the module of the project
        self.lines: list[str] = []
        self.missing: list[str] = []
        self.runs_on_import: list[str] = []
        self.known = set(dir(builtins))
        self.written: set[ast.Assign] = set()

    def build(self, part: Part, where: str) -> None:
        """Write the statement of a part, after what it uses."""
        if part.name not in self.known:
            self._write(part.node, part.scope, where)

    def placeholder(self, name: str, why: str = "to be completed") -> None:
        """Leave a name to the user."""
        self.known.add(name)
        self.missing.append(name)
        self.lines.append(f"{name} = ...  # {why}")

    def import_lines(self) -> list[str]:
        """Return the imports, those of the project last."""
        lines = sorted(self.imports)
        if self.homes:
            lines = ["import sys", "from pathlib import Path", *lines]
        for home in sorted(self.homes):
            lines.append(f"sys.path.insert(0, str(Path(__file__).parent / {home!r}))")
        for module, names in sorted(self.taken.items()):
            lines.append(f"from {module} import {', '.join(sorted(names))}")
        return lines

    def import_from(self, file: Path, name: str) -> None:
        """Import a name from a file of the project."""
        module, home = dotted_name(file)
        self._put_on_path(home)
        self.taken.setdefault(module, set()).add(name)
        self.known.add(name)
        if trains_on_import(file):
            self.runs_on_import.append(file.name)

    def _write(self, node: ast.Assign, scope: Scope, where: str = "") -> None:
        if node in self.written:
            return
        self.written.add(node)
        names = {n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)}
        self.known |= names
        for used in _loaded(node.value):
            if used not in self.known or used in names:  # `net = net.to(device)` has one before it
                self._define(used, node.lineno, scope)
        value = self._as_if_nothing_was_typed(node, scope)
        comment = f"  # {where}" if where else ""
        target = ast.unparse(node.targets[0]).removeprefix("(").removesuffix(")")  # of a tuple
        self.lines.append(f"{target} = {ast.unparse(value)}{comment}")

    def _as_if_nothing_was_typed(self, node: ast.Assign, scope: Scope) -> ast.expr:
        """Let a parser know its options and parse nothing: our command line is not theirs."""
        call = node.value
        if not isinstance(call, ast.Call) or last_name(call.func) not in PARSE or call.args:
            return call
        for option in scope.options:
            for used in _loaded(option.value):
                if used not in self.known:
                    self._define(used, option.lineno, scope)
            self.lines.append(ast.unparse(option))
        return ast.Call(call.func, [ast.List([], ast.Load())], call.keywords)

    def _define(self, name: str, line: int, scope: Scope) -> None:
        earlier, elsewhere = scope.before(name, line), scope.elsewhere(name)
        if earlier is not None:
            self._write(earlier, scope)
        elif elsewhere is not None and name not in scope.parameters:
            self._write(*elsewhere)
        elif (function := scope.given(name)) is not None:
            self._fill(name, function)
        elif any(method.name == name for method in scope.methods):
            self.placeholder(name, f"a method in {scope.file.name}")
        else:
            self._find(name, scope)

    def _fill(self, name: str, function: Scope) -> None:
        """Give a parameter its default, where that is a plain value."""
        default = function.parameters[name]
        if _is_value(default):
            self.known.add(name)
            said = f"its default in {function.file.name}"
            self.lines.append(f"{name} = {ast.unparse(default)}  # {said}")
        else:
            self.placeholder(name, f"a parameter in {function.file.name}")

    def _find(self, name: str, scope: Scope) -> None:
        for node in scope.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    if name == (alias.asname or alias.name.partition(".")[0]):
                        self._import(node, alias, scope.file)
                        self.known.add(name)
                        return
            if name in _defined(node):
                self.import_from(scope.file, name)
                return
        self.placeholder(name, f"not found in {scope.file.name}")

    def _import(self, node: ast.Import | ast.ImportFrom, alias: ast.alias, file: Path) -> None:
        if isinstance(node, ast.Import):
            self.imports.add(ast.unparse(ast.Import([alias])))
        elif not node.level:
            self.imports.add(ast.unparse(ast.ImportFrom(node.module, [alias], 0)))
        else:  # the factory stands outside the package
            own, home = dotted_name(file)
            self._put_on_path(home)
            parts = [*own.split(".")[: -node.level], *([node.module] if node.module else [])]
            self.taken.setdefault(".".join(parts), set()).add(ast.unparse(alias))

    def _put_on_path(self, home: Path) -> None:
        if home != self.folder:
            self.homes.add(os.path.relpath(home, self.folder))


def _is_value(default: ast.expr | None) -> TypeGuard[ast.expr]:
    """Tell whether a default says what a name is to be; None says nothing."""
    try:
        return default is not None and ast.literal_eval(default) is not None
    except ValueError:
        return False


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()


def _loaded(value: ast.expr) -> Iterable[str]:
    """Yield the names that an expression reads and does not bind itself."""
    nodes = list(ast.walk(value))
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    names = (n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    return dict.fromkeys(name for name in names if name not in bound)
