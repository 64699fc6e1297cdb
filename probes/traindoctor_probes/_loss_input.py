"""Where the user's code shows what made the input of a loss function."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from traindoctor.experiments import ReadSource
from traindoctor.probing import Ask
from traindoctor.probing.syntax import at, last_name, subtrees
from traindoctor.trace import CriterionRow, Place, SourceRow, Trace


def made_at(ask: Ask, step: Trace, row: CriterionRow) -> Place:
    """Return the line that calls what made the input; for a library's module, that builds it.

    The line that calls a whole head, with the module somewhere in it, shows no reader what it is.
    """
    module = next((m for m in step.modules if m.path and m.path == row.input_module), None)
    if is_told(row, row.input_place) or module is None or module.is_users:
        return row.input_place
    built = _built(ask(ReadSource()).source, module.place, module.class_name)
    return built or row.input_place


def is_told(row: CriterionRow, place: Place) -> bool:
    """Tell whether a line says by what the input of a loss function was made."""
    return bool(row.input_operation) and row.input_operation in place.text.lower()


def _built(source: Iterable[SourceRow], statement: Place, class_name: str) -> Place:
    """Return the line within a statement that builds modules of a class, if it is one line."""
    found = {
        (row.file, call.lineno): at(row, call)
        for row in source
        if row.file == statement.file
        for node in subtrees(row, ast.Assign)
        if node.lineno == statement.line
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and last_name(call.func) == class_name
    }
    return next(iter(found.values())) if len(found) == 1 else Place()
