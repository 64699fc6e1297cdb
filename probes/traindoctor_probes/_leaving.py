"""The conditions under which the user's loop leaves a batch, and whether one is meant."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from traindoctor.probing.syntax import Function, at, calls, function_at, guards, last_name
from traindoctor.trace import Place, SourceRow, Trace

Source = tuple[SourceRow, ...]

GATHERS = {"append", "extend", "add", "put", "push", "store", "insert"}
# Parameters of a step's function that are no data.
_PLAIN = ("self", "model", "optim", "sched", "scaler", "step", "index", "idx", "batch_i", "args")


@dataclass(frozen=True, slots=True)
class Leaving:
    """A condition; what it reads of the batch, of the epoch, or of what batches are put in."""

    place: Place
    reads_data: bool = False
    reads_store: bool = False
    reads_epoch: bool = False
    is_start: bool = False  # something counted is still below a limit

    @property
    def is_meant(self) -> bool:
        """Whether it is no mistake for certain: a plan, or batches that are kept for later."""
        return self.reads_store or self.reads_epoch


def leaving(run: Trace, source: Source) -> list[Leaving]:
    """Return the conditions under which the code leaves a batch before its backward pass.

    They stand before the backward pass, and where that is in another function than the loop,
    before the call of that function too.
    """
    backward = next((row.place for row in run.backwards if row.place), Place())
    loop = next((place for place in run.facts.get("loop_places", ()) if place), Place())
    inner, outer = (function_at(source, place) if place else None for place in (backward, loop))
    found: list[Leaving] = []
    if inner is not None:
        is_around = inner is outer and (loop.line or 0) < (backward.line or 0)
        first = (loop.line or 0) if is_around else inner.lineno
        found += _conditions(source, inner, first, backward)
    if outer is not None and outer is not inner:
        name = inner.name if inner else ""
        called = [
            place
            for place, _ in calls(source, name)
            if place.file == loop.file and (loop.line or 0) < (place.line or 0)
        ]
        end = called[0] if called else Place(loop.file, outer.end_lineno, outer.name)
        found += _conditions(source, outer, loop.line or 0, end)
    return list(dict.fromkeys(found))


def _conditions(source: Source, function: Function, first: int, end: Place) -> list[Leaving]:
    """Return the conditions around a line, and those before it that leave: continue or return."""
    row = next(row for row in source if row.file == end.file)
    around = {guard.place.line for guard in guards(source, end) if guard.kind in ("if", "else")}
    names = _Names(function)
    return [
        names.judged(at(row, node), node.test)
        for node in ast.walk(function)
        if isinstance(node, ast.If) and first < node.lineno < (end.line or 0)
        if node.lineno in around
        or any(isinstance(inner, ast.Continue | ast.Return) for inner in node.body)
    ]


class _Names:
    """Which names of a function stand for the batch, for the epoch, for kept batches."""

    def __init__(self, function: Function) -> None:
        loops = [node for node in ast.walk(function) if isinstance(node, ast.For)]
        inner = [loop for loop in loops if not _holds_loop(loop)]
        around = [loop for loop in loops if _holds_loop(loop)]
        parameters = [item.arg for item in function.args.args]
        self.epoch = {name for loop in around for name in _stored(loop.target)}
        self.epoch |= {name for name in parameters if name.startswith("epoch")}
        self.data = {name for loop in inner for name in _stored(_item(loop))}
        self.data |= {name for name in parameters if not _is_plain(name)} if not loops else set()
        self.store: set[str] = set()
        for _ in range(3):  # from names to what is made of them
            self._spread(function)

    def _spread(self, function: Function) -> None:
        for node in ast.walk(function):
            if isinstance(node, ast.Assign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                made = {name for target in targets for name in _stored(target)}
                read = _read(node.value)
                is_next = isinstance(node.value, ast.Call) and last_name(node.value.func) == "next"
                if (read & self.data or is_next) and not made & self.store:
                    self.data |= made
                if read & self.epoch:
                    self.epoch |= made
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                given = {name for argument in node.args for name in _read(argument)}
                if node.func.attr in GATHERS and given & self.data:
                    self.store |= _read(node.func.value)

    def judged(self, place: Place, test: ast.expr) -> Leaving:
        """Return what a condition reads."""
        read = _read(test)
        plain = read - self.store - self.epoch
        return Leaving(
            place,
            reads_data=bool(plain & self.data),
            reads_store=bool(read & self.store),
            reads_epoch=bool(read & self.epoch),
            is_start=isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Lt | ast.LtE),
        )


def _holds_loop(loop: ast.For) -> bool:
    return any(isinstance(node, ast.For) for part in loop.body for node in ast.walk(part))


def _item(loop: ast.For) -> ast.expr:
    """Return what of a loop's target is an element: without the number of `enumerate`."""
    is_numbered = isinstance(loop.iter, ast.Call) and last_name(loop.iter.func) == "enumerate"
    if is_numbered and isinstance(loop.target, ast.Tuple) and len(loop.target.elts) == 2:
        return loop.target.elts[1]
    return loop.target


def _stored(target: ast.AST) -> Iterable[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _read(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} | {
        ast.unparse(inner)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name)
        if inner.value.id == "self"
    }


def _is_plain(name: str) -> bool:
    return name in ("i", "n") or any(part in name for part in _PLAIN)
