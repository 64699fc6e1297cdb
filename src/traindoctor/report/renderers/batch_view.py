"""The first batch beside what the model takes of it."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from traindoctor.report.record import Report
from traindoctor.report.renderers.page import Page, count, figure


def put_batch(page: Page, report: Report) -> None:
    """Write one row a key; nothing where no batch was read."""
    contract = report.measurements.get("contract")
    if contract is None:
        return
    size = f" of {count(contract['size'], 'sample')}" if contract["size"] else ""
    page.put(Text(f"{contract['class']}{size} for {contract['model']}", style="bold"))
    tried = report.measurements.get("forward_keys", {})
    rows = [
        (
            row["key"],
            "" if row["shape"] is None else f"({', '.join(map(str, row['shape']))})",
            row["dtype"],
            _range(row),
            _taker(row, tried),
        )
        for row in contract["keys"]
    ]
    page.put_table(("key", "shape", "dtype", "range", "taken by"), rows)
    if contract["not_given"]:
        page.put(f"not in the batch: {', '.join(contract['not_given'])}", indent=2, style="dim")
    page.put()


def _taker(row: dict[str, Any], tried: dict[str, list[str]]) -> Text:
    """Return who takes a key; what was tried says more than a signature."""
    top = row["key"].partition(".")[0]
    if top in tried.get("rejected", ()):
        return Text("refused", style="red")
    if top in tried.get("ignored", ()):
        return Text(f"{row['taken_by']}, ignored", style="yellow")
    return Text(row["taken_by"], style="red" if row["taken_by"] == "nobody" else "")


def _range(row: dict[str, Any]) -> Text:
    if row["minimum"] is None:
        return Text("")
    text = Text(f"{_number(row['minimum'])} … {_number(row['maximum'])}")
    if row["not_finite"]:
        text.append(f", {row['not_finite']} not finite", style="red")
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else figure(value)
