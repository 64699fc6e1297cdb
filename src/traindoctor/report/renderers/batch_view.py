"""The first batch beside what the model takes of it."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from traindoctor.report.record import Report
from traindoctor.report.renderers.page import Page, figure


def put_batch(page: Page, report: Report) -> None:
    """Write one row a key; nothing where no batch was read."""
    contract = report.measurements.get("contract")
    if contract is None:
        return
    size = f" of {contract['size']}" if contract["size"] else ""
    page.put(Text(f"A {contract['class']}{size} for {contract['model']}", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("key", "shape", "dtype", "range", "taken by"):
        table.add_column(heading, overflow="fold")
    for row in contract["keys"]:
        style = "red" if row["taken_by"] == "nobody" else ""
        table.add_row(
            row["key"],
            "" if row["shape"] is None else f"({', '.join(map(str, row['shape']))})",
            row["dtype"],
            _range(row),
            Text(row["taken_by"], style=style),
        )
    page.put(table, indent=2)
    if contract["not_given"]:
        page.put(f"not in the batch: {', '.join(contract['not_given'])}", indent=2, style="dim")
    page.put()


def _range(row: dict[str, Any]) -> Text:
    if row["minimum"] is None:
        return Text("")
    text = Text(f"{_number(row['minimum'])} … {_number(row['maximum'])}")
    if row["not_finite"]:
        text.append(f", {row['not_finite']} not finite", style="red")
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else figure(value)
