"""Reads the user's source: where a module, an optimizer or a context manager is written."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
from functools import lru_cache

from traindoctor.target.usercode import absolute, is_user_class, is_user_file
from traindoctor.trace import Place

MAX_FILES = 200


@lru_cache(maxsize=512)
def parse(file: str) -> ast.Module | None:
    """Return a file's syntax tree, or None where it cannot be read or parsed."""
    text = "".join(linecache.getlines(file))
    try:
        return ast.parse(text) if text else None
    except SyntaxError:
        return None


def user_files() -> list[str]:
    """Return the user's own source files that are imported, at most `MAX_FILES`."""
    files = {
        absolute(str(file))
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and is_user_file(str(file))
    }
    return sorted(files)[:MAX_FILES]


def reachable_files(start: str) -> list[str]:
    """Return a file of the user's and those of the user's that it imports, directly or not.

    In a process that has seen other programs, those are nobody's business here.
    """
    theirs = {
        name: absolute(str(file))
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and is_user_file(str(file))
    }
    found = [start]
    for file in found:  # which grows
        package = next((name.rpartition(".")[0] for name, f in theirs.items() if f == file), "")
        imported = {theirs[name] for name in _imports(file, package) if name in theirs}
        found += sorted(imported - set(found))
    return found[:MAX_FILES]


def _imports(file: str, package: str) -> set[str]:
    """Return the full names of the modules that a file may import."""
    names: set[str] = set()
    tree = parse(file)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (above, node.module or "") if part)
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def at(file: str, node: ast.AST, function: str | None = None) -> Place:
    """Return the place of a syntax node."""
    line = getattr(node, "lineno", None)
    return Place(file, line, function, linecache.getline(file, line or 0).strip())


def class_file(kind: type) -> str | None:
    """Return the file in which a class is defined."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return absolute(str(file)) if file else None


def method_place(kind: type, name: str) -> Place:
    """Return where a method is defined, if that is in a class of the user's."""
    owner = next((base for base in kind.__mro__ if name in vars(base)), None)
    if owner is None or not is_user_class(owner):
        return Place()
    body, file = class_body(owner), class_file(owner)
    for node in body.body if body and file else ():
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return at(file or "", node, f"{owner.__name__}.{name}")
    return Place()


@lru_cache(maxsize=512)
def branches_on_mode(kind: type) -> bool:
    """Tell whether a class's own forward does something else where `self.training` is set.

    Passing it on as an argument is no branch: dropout is told by it.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind.forward)))  # type: ignore[attr-defined]
    except (AttributeError, OSError, SyntaxError, TypeError):
        return False
    tests = [node.test for node in ast.walk(tree) if isinstance(node, ast.If | ast.IfExp)]
    return any(
        isinstance(node, ast.Attribute) and node.attr == "training"
        for test in tests
        for node in ast.walk(test)
    )


@lru_cache(maxsize=512)
def class_body(kind: type) -> ast.ClassDef | None:
    """Return the syntax of a user's class; of two with one name, the last."""
    file = class_file(kind)
    tree = parse(file) if file else None
    found = None
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
            found = node
    return found


def class_place(kind: type) -> Place:
    """Return where a class of the user's is defined."""
    body, file = class_body(kind) if is_user_class(kind) else None, class_file(kind)
    return at(file, body, kind.__name__) if body and file else Place()


def attribute_place(kind: type, attribute: str) -> Place:
    """Return the line on which a user's class assigns `self.<attribute>` (the first one).

    Registrations by name (`register_parameter("w", …)`, `add_module`, `register_buffer`)
    count as assignments. Base classes are searched too.
    """
    for base in kind.__mro__:
        if not is_user_class(base):
            continue
        body, file = class_body(base), class_file(base)
        if body is None or file is None:
            continue
        for node in ast.walk(body):
            if _assigns(node, attribute):
                return at(file, node, f"{base.__name__}.__init__")
    return Place()


def name_place(file: str, name: str) -> Place:
    """Return the line of a file that assigns a name, if that is one line."""
    found = {
        node.lineno: at(file, node)
        for node in ast.walk(parse(file) or ast.Module([], []))
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == name
    }
    return next(iter(found.values())) if len(found) == 1 else Place()


def _assigns(node: ast.AST, attribute: str) -> bool:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = list(node.targets)
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        first = node.args[0] if node.args else None
        registers = node.func.attr in {"register_parameter", "register_buffer", "add_module"}
        return registers and isinstance(first, ast.Constant) and first.value == attribute
    return any(
        isinstance(inner, ast.Attribute)
        and inner.attr == attribute
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
        for target in targets
        for inner in ast.walk(target)
    )


def call_place(name: str, prefer: Place = Place()) -> Place:
    """Return where the user's code calls something by this last name, if that is one place.

    Calls inside the preferred place's function win; then those in its file. Two equally
    good ones are no answer: a wrong line is worse than none.
    """
    ranked: dict[int, list[Place]] = {0: [], 1: [], 2: []}
    preferred_file = [prefer.file] if prefer.file else []
    for file in dict.fromkeys([*preferred_file, *user_files()]):  # of which there may be too many
        found = _calls(file).get(name, ())
        tree = parse(file) if found and file == prefer.file else None
        preferred = _function(tree, prefer) if tree else None
        within = ast.walk(preferred) if preferred else ()
        inside = {_end(node) for node in within if isinstance(node, ast.Call)}
        for node in found:
            rank = 0 if _end(node) in inside else 1 if file == prefer.file else 2
            ranked[rank].append(at(file, node))
    for rank in (0, 1, 2):
        if ranked[rank]:
            return ranked[rank][0] if len(ranked[rank]) == 1 else Place()
    return Place()


@lru_cache(maxsize=512)
def _calls(file: str) -> dict[str, list[ast.Call]]:
    """Return all calls of a file by the last name of what is called."""
    calls: dict[str, list[ast.Call]] = {}
    tree = parse(file)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call):
            calls.setdefault(last_name(node.func), []).append(node)
    return calls


def _end(call: ast.Call) -> tuple[int | None, int | None]:
    """Return what tells calls of one file apart, whichever parse of it they are of."""
    return call.end_lineno, call.end_col_offset


def _function(tree: ast.Module, place: Place) -> ast.AST | None:
    if place.function == "<module>":
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return ast.Module([node for node in tree.body if not isinstance(node, kinds)], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == place.function:
            return node
    return None


def last_name(node: ast.expr) -> str:
    """Return `AdamW` for both `AdamW` and `torch.optim.AdamW`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def no_grad_place(file: str, line: int) -> Place:
    """Return the `with torch.no_grad()` or decorator that encloses a line, if one does."""
    found = Place()
    for first, last, guard in _no_grad_guards(file):  # the innermost comes last
        if first <= line <= last:
            found = guard
    return found


@lru_cache(maxsize=512)
def _no_grad_guards(file: str) -> tuple[tuple[int, int, Place], ...]:
    """Return the first and last line under each guard, and where the guard is written."""
    tree, found = parse(file), []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.With):
            guards = [item.context_expr for item in node.items]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            guards = list(node.decorator_list)
        else:
            continue
        for guard in guards:
            call = guard.func if isinstance(guard, ast.Call) else guard
            if last_name(call) in {"no_grad", "inference_mode", "set_grad_enabled"}:
                found.append((node.lineno, node.end_lineno or node.lineno, at(file, guard)))
    return tuple(found)
