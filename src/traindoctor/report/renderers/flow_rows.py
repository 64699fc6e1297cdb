"""The rows of the gradient-flow table; many layers of one structure become one row."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_ROWS = 30  # more than these, and equal layers are folded
FEWEST_FOLDED = 3
DECADES_APART = 1.5  # a gradient this far from the median of its layers is shown by itself
MOST_DEVIATING = 3  # of one fold

_NUMBER = re.compile(r"(?:(?<=\.)|^)\d+(?=\.|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: a module, or several of one structure.

    `gradients` and `updates` hold one value for each module that has one; `none`, `zero`,
    `not_finite` and `frozen` are shares of the `tensors`, from 0 to 1.
    """

    name: str
    class_name: str
    num_modules: int
    parameters: int
    gradients: tuple[float, ...]
    updates: tuple[float, ...]
    none: float
    zero: float
    not_finite: float
    frozen: float


def folded(rows: Sequence[dict[str, Any]], *, unfold: bool = False) -> list[Line]:
    """Return the table's lines in forward order.

    Modules whose paths differ by numbers alone, of one class and size, stand in one line;
    those that deviate from the others of their kind keep lines of their own below it.
    """
    if unfold or len(rows) <= MOST_ROWS:
        return [_line(row["module"], [row]) for row in rows]
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(_structure(row), []).append(row)
    lines: list[Line] = []
    for members in kinds.values():
        if len(members) < FEWEST_FOLDED:
            lines += [_line(row["module"], [row]) for row in members]
            continue
        odd = sorted(members, key=lambda row: -_oddness(row, members))[:MOST_DEVIATING]
        odd = [row for row in odd if _oddness(row, members) >= 1]
        lines.append(_line(_NUMBER.sub("*", members[0]["module"]), members))
        lines += [_line(row["module"], [row]) for row in members if row in odd]
    return lines


def _structure(row: dict[str, Any]) -> tuple[Any, ...]:
    return _NUMBER.sub("*", row["module"]), row["class"], row["parameters"], row["tensors"]


def _oddness(row: dict[str, Any], members: Sequence[dict[str, Any]]) -> float:
    """Return how far a module is from its like: 1 and more is worth a line of its own."""
    state = _state(row)
    alike = sum(_state(other) == state for other in members)
    if alike * 2 <= len(members):
        return math.inf
    gradient = row["gradient_rms"]
    known = sorted(r["gradient_rms"] for r in members if _is_positive(r["gradient_rms"]))
    if not known or not _is_positive(gradient):
        return 0.0
    median = known[len(known) // 2]
    return abs(math.log10(gradient / median)) / DECADES_APART


def _state(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["none"], row["zero"], row["not_finite"], row["frozen"]


def _line(name: str, rows: Sequence[dict[str, Any]]) -> Line:
    tensors = sum(row["tensors"] for row in rows) or 1
    shares = {
        key: sum(row[key] for row in rows) / tensors
        for key in ("none", "zero", "not_finite", "frozen")
    }
    return Line(
        name=name or "(model)",
        class_name=rows[0]["class"],
        num_modules=len(rows),
        parameters=sum(row["parameters"] for row in rows),
        gradients=tuple(row["gradient_rms"] for row in rows if row["gradient_rms"] is not None),
        updates=tuple(row["update_ratio"] for row in rows if row["update_ratio"] is not None),
        **shares,
    )


def _is_positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0
