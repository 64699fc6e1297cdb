"""Tells a batch that is skipped on purpose from one that fails in silence."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from traindoctor.probing.syntax import last_name, statement_at, subtrees
from traindoctor.trace import HandledRow, Place, SourceRow
from traindoctor_probes._unrun import BROAD

_RAISE = re.compile(r"(?:^|:)\s*raise\b\s*(?:\w+\.)*(\w*)")
_LOGGED = ("log", "debug", "info", "warn", "warning", "error", "exception", "critical")
TELLING = ("print", "write", "append", *_LOGGED)  # last names of what tells of a batch


def is_declared(source: Sequence[SourceRow], row: HandledRow) -> bool:
    """Tell whether the user skips a batch on purpose.

    They raise an exception of their own; or another one by its name, which the handler names too
    and does not keep to itself.
    """
    raises = _raises(source, row)
    if raises is None or row.is_users_type:
        return raises is not None
    is_named = re.match(rf"except (?:\w+\.)*{row.type_name}\b", row.handler.text)
    told = (any(map(_tells, ast.walk(node))) for _, node in handlers_at(source, row.handler))
    return raises == row.type_name not in BROAD and is_named is not None and all(told)


def _raises(source: Sequence[SourceRow], row: HandledRow) -> str | None:
    """Return the last name of what the user's `raise` raised; None where it was no `raise`.

    While a run goes on its source is not at hand, and the line alone has to do.
    """
    statement, _ = statement_at(source, row.raised)
    if statement is None:
        found = _RAISE.search(row.raised.text)
        return found[1] if found else None
    if not isinstance(statement, ast.Raise):
        return None
    made = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
    return last_name(made) if made else ""


def _tells(node: ast.AST) -> bool:
    """Tell whether a part of a handler counts, prints, logs or raises again."""
    called = last_name(node.func) if isinstance(node, ast.Call) else ""
    return isinstance(node, ast.AugAssign | ast.Raise) or called in TELLING


def handlers_at(
    source: Iterable[SourceRow], place: Place
) -> Iterator[tuple[SourceRow, ast.ExceptHandler]]:
    """Yield the handler at a place, with its file."""
    return (
        (row, node)
        for row in source
        if row.file == place.file
        for node in subtrees(row, ast.ExceptHandler)
        if node.lineno == place.line
    )
