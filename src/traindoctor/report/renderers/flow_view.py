"""Where the gradient flows: one row a module, in forward order."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from traindoctor.report.record import Report
from traindoctor.report.renderers.flow_rows import Line, folded
from traindoctor.report.renderers.page import Page, count

BAR_WIDTH, RANGE_WIDTH = 12, 11
FIGURES_WIDTH = 57  # what all columns but the module's take


def put_flow(page: Page, report: Report) -> None:
    """Write the gradient-flow table; nothing where no gradient was measured."""
    rows = report.measurements.get("gradient_flow")
    if not rows:
        return
    lines = folded(rows, unfold=page.look.verbosity > 0)
    decades = _decades(lines)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("module", no_wrap=True)
    for heading, width in (("params", 6), ("grad RMS", RANGE_WIDTH)):
        table.add_column(heading, justify="right", no_wrap=True, min_width=width)
    table.add_column(_scale(decades), no_wrap=True, min_width=BAR_WIDTH)
    table.add_column("upd/weight", justify="right", no_wrap=True, min_width=RANGE_WIDTH)
    table.add_column("without", no_wrap=True)
    for line in lines:
        table.add_row(
            _name(line, page.look.width - FIGURES_WIDTH),
            _short(line.parameters),
            _range(line.gradients),
            Text(_bar(line.gradients, decades), style=_style(line)),
            _range(line.updates),
            _missing(line),
        )
    page.put(table)
    if len(lines) < len(rows):
        page.put(f"{len(rows)} modules, layers of one structure folded; -v unfolds", style="dim")
    num_without = sum(1 for row in rows if row["none"] or row["zero"] or row["not_finite"])
    if num_without and not report.findings:
        who = count(num_without, "module gets", "modules get")
        page.put(f"{who} no usable gradient; `traindoctor check` looks for the reason.")
    page.put()


def _name(line: Line, width: int) -> Text:
    times = f" ×{line.num_modules}" if line.num_modules > 1 else ""
    room = max(width - len(times), 8)
    name = line.name if len(line.name) <= room else "…" + line.name[-room + 1 :]
    return Text.assemble(name, (times, "dim"))


def _short(number: int) -> str:
    """Return 1234567 as 1.23M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            scaled = number / (size if unit != "k" else 1e3)
            return f"{scaled:.3g}{unit}"
    return f"{number:,}"


def _range(values: Sequence[float]) -> str:
    if not values:
        return "–"
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return str(values[0])
    low, high = min(finite), max(finite)
    if low == high or len(values) == 1:
        return f"{low:.1e}" if low else "0"
    return f"{low:.0e}–{high:.0e}"


def _decades(lines: Sequence[Line]) -> tuple[int, int]:
    """Return the powers of ten between which the bars run, at least one decade apart."""
    logs = [math.log10(v) for line in lines for v in line.gradients if v > 0 and math.isfinite(v)]
    if not logs:
        return 0, 1
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return low, max(high, low + 1)


def _scale(decades: tuple[int, int]) -> str:
    low, high = (f"1e{power}" for power in decades)
    return low + " " * max(1, BAR_WIDTH - len(low) - len(high)) + high


def _bar(gradients: Sequence[float], decades: tuple[int, int]) -> str:
    """Return a bar up to a value, or from the least to the greatest of several."""
    logs = [math.log10(value) for value in gradients if value > 0 and math.isfinite(value)]
    if not logs:
        return ""
    low, high = decades
    first, last = (round((log - low) / (high - low) * BAR_WIDTH) for log in (min(logs), max(logs)))
    if len(gradients) == 1:
        return "█" * max(1, last)
    first = min(first, BAR_WIDTH - 1)
    return " " * first + "━" * max(1, last - first)


def _missing(line: Line) -> Text:
    """Name the shares of tensors that got no gradient, an all-zero one or a non-finite one."""
    parts = [
        Text(f"{word} {_percent(share)}", style=style)
        for share, word, style in (
            (line.not_finite, "NaN", "red"),
            (line.none, "None", "red"),
            (line.zero, "zero", "yellow"),
            (line.frozen, "frozen", "dim"),
        )
        if share
    ]
    return Text(" ").join(parts)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"


def _style(line: Line) -> str:
    return "red" if line.not_finite or line.none else "yellow" if line.zero else "cyan"
