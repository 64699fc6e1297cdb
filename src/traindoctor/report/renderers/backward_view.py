"""Backward passes side by side: does one go through what an earlier one has used?"""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from traindoctor.report.record import Report
from traindoctor.report.renderers.page import Page, figure


def put_backward(page: Page, report: Report) -> None:
    """Write one row a backward pass; nothing where there was none."""
    rows = report.measurements.get("backward")
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("pass", "batch", "loss", "graph nodes", "gradients before → after", "ms"):
        table.add_column(heading, justify="right")
    table.add_column("goes through")
    for number, row in enumerate(rows):
        table.add_row(
            str(number),
            str(row["batch"]),
            figure(row["loss"]),
            f"{row['nodes']:,}",
            f"{row['gradients_before']} → {row['gradients_after']}",
            figure(1e3 * row["seconds"]),
            _through(row["earlier"], row["retain_graph"]),
        )
    page.put(table)
    ended_by = report.measurements.get("steps", {}).get("ended_by")
    if ended_by:
        page.put(Text(f"– then {ended_by}", style="red"))
    page.put()


def _through(earlier: list[int], is_retained: bool) -> Text:
    kept = " (graph retained)" if is_retained else ""
    if not earlier:
        return Text(f"its own batch{kept}")
    return Text(f"batch {', '.join(map(str, earlier))} as well{kept}", style="yellow")
