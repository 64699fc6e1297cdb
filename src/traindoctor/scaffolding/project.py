"""Finds where a project builds its model, loader and optimizer, by reading its source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from traindoctor.probing.syntax import last_name
from traindoctor.scaffolding.scopes import Scope, parse, scopes
from traindoctor.target.setup import ALIASES

LIGHTNINGS_OWN = "configure_optimizers"  # which a Lightning module is asked for its optimizers by
PARAMETERS = ("parameters", "named_parameters")


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
    known = [scope for file in files for scope in scopes(file) if scope.name != LIGHTNINGS_OWN]
    trainer = _calls("trainer", _is_trainer, known)
    if trainer:
        return {"trainer": trainer[0]}
    found: dict[str, Part] = {}
    for key, is_it in (("optimizer", _is_optimizer), ("loader", _is_loader), ("loss_fn", _is_loss)):
        candidates = _calls(key, is_it, known) or _named(key, known)
        if candidates:
            found[key] = min(candidates, key=lambda part: _distance(part, found.get("optimizer")))
    model = _model(found.get("optimizer"), known)
    return ({"model": model} if model else {}) | found


def train_loops(files: Iterable[Path]) -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Yield functions at a module's top that differentiate something in a loop."""
    for file in files:
        for node in parse(file).body:
            loops = (inner for inner in ast.walk(node) if isinstance(inner, ast.For))
            if isinstance(node, ast.FunctionDef) and any(map(_differentiates, loops)):
                yield file, node


def dotted_name(file: Path) -> tuple[str, Path]:
    """Return a file's dotted name, and the folder from which it is imported."""
    parts, folder = [file.stem], file.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), folder


def trains_on_import(file: Path) -> bool:
    """Tell whether a module differentiates something outside functions and the main guard."""
    waiting: list[ast.AST] = [*parse(file).body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Call) and last_name(node.func) in ("backward", "fit", "train"):
            return True
        waiting += ast.iter_child_nodes(node)
    return False


def _calls(key: str, is_it: Callable[[ast.Call], bool], known: Sequence[Scope]) -> list[Part]:
    return [
        Part(key, name, node, scope)
        for scope in known
        for name, node in scope.assignments
        if isinstance(node.value, ast.Call) and is_it(node.value)
    ]


def _named(key: str, known: Sequence[Scope]) -> list[Part]:
    """Return what is called so, and built by a call of which the class is not seen."""
    return [
        Part(key, name, node, scope)
        for scope in known
        for name, node in scope.assignments
        if ALIASES.get(name, name) == key and isinstance(node.value, ast.Call)
    ]


def _model(optimizer: Part | None, known: Sequence[Scope]) -> Part | None:
    name = _parameters_of(optimizer.node.value) if optimizer else "model"
    if optimizer:
        node = optimizer.scope.before(name, optimizer.node.lineno)
        if node is not None:
            return Part("model", name, node, optimizer.scope)
        kept = optimizer.scope.elsewhere(name)
        if kept is not None and isinstance(kept[0].value, ast.Call):
            return Part("model", name, *kept)
    candidates = [
        Part("model", target, node, scope)
        for scope in known
        for target, node in scope.assignments
        if target in (name, "model") and isinstance(node.value, ast.Call)
    ]
    return min(candidates, key=lambda part: _distance(part, optimizer), default=None)


def _distance(part: Part, optimizer: Part | None) -> tuple[bool, ...]:
    """Order candidates: named for training, and near the optimizer, first."""
    is_other = "val" in part.name or "test" in part.name
    if optimizer is None:
        return (is_other,)
    scope, there = part.scope, optimizer.scope
    is_same = scope is there
    return (
        is_other,
        scope.file != there.file,
        not is_same and scope not in there.methods,
        not is_same,
    )


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
