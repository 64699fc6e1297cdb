"""Finds where a project builds its model, loader and optimizer, by reading its source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from traindoctor.probing.syntax import last_name

PARAMETERS = ("parameters", "named_parameters")


@dataclass(frozen=True)
class Scope:
    """A function's statements, or a module's outside functions.

    Attributes:
        file: where it is.
        tree: the whole module.
        assignments: `name = value`, in order of lines.
        parameters: of the function.
    """

    file: Path
    tree: ast.Module
    assignments: tuple[tuple[str, ast.Assign], ...]
    parameters: frozenset[str]

    def before(self, name: str, line: int) -> ast.Assign | None:
        """Return the last assignment to a name above a line."""
        found = [n for target, n in self.assignments if target == name and n.lineno < line]
        return found[-1] if found else None


@dataclass(frozen=True)
class Part:
    """One thing that a factory returns: the statement that builds it."""

    key: str
    name: str
    node: ast.Assign
    scope: Scope


def find_parts(files: Iterable[Path]) -> dict[str, Part]:
    """Return model, loader, optimizer and loss function, those that are found; or the trainer.

    A `transformers.Trainer` has all of them, so that it is returned alone.
    The optimizer comes first: the model is what it takes the parameters of, and the others are
    taken from its function, or its file, where they are there.
    """
    scopes = [scope for file in files for scope in _scopes(file)]
    trainer = _calls("trainer", _is_trainer, scopes)
    if trainer:
        return {"trainer": trainer[0]}
    found: dict[str, Part] = {}
    for key, is_it in (("optimizer", _is_optimizer), ("loader", _is_loader), ("loss_fn", _is_loss)):
        candidates = _calls(key, is_it, scopes)
        if candidates:
            found[key] = min(candidates, key=lambda part: _distance(part, found.get("optimizer")))
    model = _model(found.get("optimizer"), scopes)
    return ({"model": model} if model else {}) | found


def train_loops(files: Iterable[Path]) -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Yield functions at a module's top that differentiate something in a loop."""
    for file in files:
        for node in _parse(file).body:
            loops = (inner for inner in ast.walk(node) if isinstance(inner, ast.For))
            if isinstance(node, ast.FunctionDef) and any(map(_differentiates, loops)):
                yield file, node


def _calls(key: str, is_it: Callable[[ast.Call], bool], scopes: Sequence[Scope]) -> list[Part]:
    return [
        Part(key, name, node, scope)
        for scope in scopes
        for name, node in scope.assignments
        if isinstance(node.value, ast.Call) and is_it(node.value)
    ]


def _model(optimizer: Part | None, scopes: Sequence[Scope]) -> Part | None:
    name = _parameters_of(optimizer.node.value) if optimizer else "model"
    if optimizer:
        node = optimizer.scope.before(name, optimizer.node.lineno)
        if node is not None:
            return Part("model", name, node, optimizer.scope)
    candidates = [
        Part("model", target, node, scope)
        for scope in scopes
        for target, node in scope.assignments
        if target in (name, "model") and isinstance(node.value, ast.Call)
    ]
    return min(candidates, key=lambda part: _distance(part, optimizer), default=None)


def _distance(part: Part, optimizer: Part | None) -> tuple[bool, bool, bool]:
    """Order candidates: named for training, and near the optimizer, first."""
    is_other = "val" in part.name or "test" in part.name
    if optimizer is None:
        return is_other, False, False
    same_file = part.scope.file == optimizer.scope.file
    return is_other, not same_file, part.scope is not optimizer.scope


def _parameters_of(value: ast.expr) -> str:
    """Return `net` of `AdamW(net.parameters(), …)`."""
    for node in ast.walk(value):
        if isinstance(node, ast.Attribute) and node.attr in PARAMETERS:
            return last_name(node.value)
    return "model"


def _is_trainer(call: ast.Call) -> bool:
    given = {keyword.arg for keyword in call.keywords}
    return last_name(call.func).endswith("Trainer") and "train_dataset" in given


def _is_optimizer(call: ast.Call) -> bool:
    """Tell whether a class of `optim` is built, or any class out of some module's parameters."""
    if not last_name(call.func)[:1].isupper():
        return False
    is_fed = any(
        isinstance(node, ast.Attribute) and node.attr in PARAMETERS
        for argument in call.args[:1]
        for node in ast.walk(argument)
    )
    return is_fed or "optim." in ast.unparse(call.func)


def _is_loader(call: ast.Call) -> bool:
    return last_name(call.func).endswith("DataLoader")


def _is_loss(call: ast.Call) -> bool:
    return last_name(call.func).endswith("Loss")


def _differentiates(loop: ast.For) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(loop))


def _scopes(file: Path) -> Iterator[Scope]:
    tree = _parse(file)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    yield Scope(file, tree, tuple(_assignments(tree.body)), frozenset())
    for function in functions:
        names = frozenset(a.arg for a in (*function.args.args, *function.args.kwonlyargs))
        yield Scope(file, tree, tuple(_assignments(function.body)), names)


def _assignments(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.Assign]]:
    """Yield assignments to a name, within `if`, `with` and the like but not in functions."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node
        for block in ("body", "orelse", "finalbody"):
            yield from _assignments(getattr(node, block, []))


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8", errors="replace"))
    except SyntaxError:
        return ast.Module([], [])
