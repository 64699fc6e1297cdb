"""A curve drawn with characters: braille dots, or asterisks where only ASCII can be shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

DECADES_FOR_LOG = 2.0
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # (row, column) in a braille cell


def draw(
    x: Sequence[float],
    y: Sequence[float],
    *,
    width: int,
    height: int,
    floor: float | None = None,
    unicode: bool = True,
) -> list[str]:
    """Return the lines of a plot, at most `width` columns and `height` + 1 lines.

    The y axis is logarithmic where positive values span more than two decades. Points that
    are not finite are left out. `floor` is drawn as a dashed line, where it fits the axis.
    """
    points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if not points:
        return []
    values = [b for _, b in points]
    is_log = min(values) > 0 and math.log10(max(values) / min(values)) > DECADES_FOR_LOG
    scale: Callable[[float], float] = math.log10 if is_log else float
    shows_floor = floor is not None and math.isfinite(floor) and (floor > 0 or not is_log)
    bounds = [*values, floor] if shows_floor and floor is not None else values
    low, high = min(bounds), max(bounds)
    labels = [f"{high:.3g}", f"{low:.3g}"]
    margin = max(map(len, labels)) + 1
    canvas = _Canvas(width - margin - 1, height, unicode)
    first, last = min(a for a, _ in points), max(a for a, _ in points)
    if shows_floor and floor is not None:
        canvas.dash(_share(scale(floor), scale(low), scale(high)))
    canvas.trace(
        [(_share(a, first, last), _share(scale(b), scale(low), scale(high))) for a, b in points]
    )
    lines = canvas.lines()
    ticks = [labels[0], *[""] * (len(lines) - 2), labels[1]]
    wall = "│" if unicode else "|"
    plot = [f"{tick:>{margin}}{wall}{line}" for tick, line in zip(ticks, lines, strict=True)]
    axis = f"step {first:g}{' (log scale)' if is_log else ''}"
    end = f"{last:g}"
    gap = max(1, width - margin - 1 - len(axis) - len(end))
    return [*plot, " " * (margin + 1) + axis + " " * gap + end]


def _share(value: float, low: float, high: float) -> float:
    """Return where a value lies between two bounds, from 0 to 1."""
    if high <= low:
        return 0.5
    if not math.isfinite(high - low):  # the span itself leaves the range of a float
        value, low, high = value / 2, low / 2, high / 2
    return (value - low) / (high - low)


class _Canvas:
    """Dots at coordinates from 0 to 1; `high` x `wide` characters, 4 x 2 dots each in braille."""

    def __init__(self, wide: int, high: int, unicode: bool) -> None:
        self.wide, self.high, self.unicode = wide, high, unicode
        self.across, self.down = (2, 4) if unicode else (1, 1)
        self.cells: dict[tuple[int, int], int] = {}

    def trace(self, points: Sequence[tuple[float, float]]) -> None:
        """Join points by straight lines."""
        columns = self.wide * self.across - 1
        previous = points[0]
        for point in points:
            num_dots = max(1, math.ceil(abs(point[0] - previous[0]) * columns))
            num_dots = max(num_dots, math.ceil(abs(point[1] - previous[1]) * self.high * self.down))
            for dot in range(1, num_dots + 1):
                way = dot / num_dots
                self._dot(*(a + (b - a) * way for a, b in zip(previous, point, strict=True)))
            previous = point

    def dash(self, y: float) -> None:
        """Draw a dashed horizontal line."""
        columns = self.wide * self.across
        for column in range(0, columns, 3):
            self._dot(column / (columns - 1), y)

    def lines(self) -> list[str]:
        """Return the picture, top line first."""
        return [
            "".join(self._character(row, column) for column in range(self.wide)).rstrip()
            for row in range(self.high)
        ]

    def _dot(self, x: float, y: float) -> None:
        column = round(x * (self.wide * self.across - 1))
        row = round((1 - y) * (self.high * self.down - 1))
        bit = _DOTS[row % self.down][column % self.across]
        cell = (row // self.down, column // self.across)
        self.cells[cell] = self.cells.get(cell, 0) | bit

    def _character(self, row: int, column: int) -> str:
        bits = self.cells.get((row, column), 0)
        if not bits:
            return " "
        return chr(0x2800 + bits) if self.unicode else "*"
