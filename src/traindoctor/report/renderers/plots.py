"""Curves as inline SVG. Colours are the page's; a viewer without styles still sees lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traindoctor.report.renderers.curve import DECADES_FOR_LOG

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 62, 10, 12, 24
MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Curve:
    """One plot's line: `y` over `x`, its name above it."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    floor: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values to a length; logarithmic where asked."""

    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        ends = (self.low, self.high, value)
        low, high, value = (math.log10(v) if self.is_log else v for v in ends)
        scale = max(abs(low), abs(high), 1e-300)  # differences of huge values may overflow
        low, high, value = low / scale, high / scale, value / scale
        return (value - low) / (high - low) if high > low else 0.5

    @property
    def middle(self) -> float:
        """Return the value that is drawn halfway."""
        if self.is_log:
            return 10 ** ((math.log10(self.low) + math.log10(self.high)) / 2)
        return self.low / 2 + self.high / 2


def y_axis(values: Sequence[float]) -> Axis:
    """Return the axis for finite values, logarithmic where they span more than two decades."""
    low, high = min(values), max(values)
    is_log = low > 0 and math.log10(high) - math.log10(low) > DECADES_FOR_LOG
    return Axis(low, high, is_log)


def plot(curve: Curve, bounds: Axis | None = None) -> Markup:
    """Return a curve as an `svg` element; points that are not finite are crosses at the top.

    Args:
        curve: what to draw.
        bounds: the y axis, where several plots are to be compared.
    """
    from markupsafe import Markup, escape

    points = [
        (float(a), float("nan") if b is None else float(b))
        for a, b in zip(curve.x, curve.y, strict=False)
        if math.isfinite(a)
    ]
    finite = [b for _, b in points if math.isfinite(b)]
    if not finite:
        return Markup('<p class="none">no finite value</p>')
    floor = curve.floor if curve.floor is not None and math.isfinite(curve.floor) else None
    axis = bounds or y_axis([*finite, floor] if floor is not None else finite)
    across = Axis(min(a for a, _ in points), max(a for a, _ in points))
    parts = [_frame(axis, across)]
    if floor is not None and (floor > 0 or not axis.is_log):
        y = _y(axis, floor)
        parts.append(f'<line class="floor" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
    for run in _runs(_thinned(points)):
        path = " ".join(f"{_x(across, a)},{_y(axis, b)}" for a, b in run)
        parts.append(f'<polyline class="curve" points="{path}"/>')
        if len(run) == 1:
            a, b = run[0]
            parts.append(f'<circle class="dot" cx="{_x(across, a)}" cy="{_y(axis, b)}" r="2.5"/>')
    lost = [a for a, b in points if not math.isfinite(b)][:MOST_POINTS]
    parts += [f'<text class="lost" x="{_x(across, a)}" y="{TOP + 4}">×</text>' for a in lost]
    label = escape(f"{curve.name}: {finite[0]:.4g} to {finite[-1]:.4g}")
    head = f'<svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">'
    return Markup(head + "".join(parts) + "</svg>")


def _frame(axis: Axis, across: Axis) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    ticks = dict.fromkeys((axis.low, axis.middle, axis.high))
    labels = _told_apart(list(ticks))
    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{_y(axis, v)}" y2="{_y(axis, v)}"/>'
        f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{_y(axis, v) + 4}">{label}</text>'
        for v, label in zip(ticks, labels, strict=True)
    ]
    scale = " (log)" if axis.is_log else ""
    lines.append(f'<text class="tick" x="{LEFT}" y="{bottom + 16}">{across.low:g}{scale}</text>')
    lines.append(
        f'<text class="tick" text-anchor="end" x="{right}" y="{bottom + 16}">{across.high:g}</text>'
    )
    return "".join(lines)


def _told_apart(values: Sequence[float]) -> list[str]:
    """Write values with as many digits as tell them apart, from three up to seven."""
    for digits in range(3, 7):
        labels = [f"{value:.{digits}g}" for value in values]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{value:.7g}" for value in values]


def _x(across: Axis, value: float) -> float:
    return round(LEFT + across.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    share = min(1.0, max(0.0, axis.share(value)))
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the least and the greatest of each stretch, so that no spike is lost."""
    if len(points) <= MOST_POINTS:
        return list(points)
    stride = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), stride):
        stretch = points[start : start + stride]
        ends = {min(stretch, key=_height), max(stretch, key=_height)}
        ends |= {point for point in stretch if not math.isfinite(point[1])}
        kept += sorted(ends)
    return kept


def _height(point: tuple[float, float]) -> float:
    return point[1] if math.isfinite(point[1]) else 0.0


def _runs(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Return stretches of finite points: a line is not drawn across what was not finite."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            runs[-1].append(point)
        else:
            runs.append([])
    return [run for run in runs if run]
