"""Steps against batches: accumulation, learning rates, and who skipped."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from traindoctor.report.record import Report
from traindoctor.report.renderers.page import Page, count, figure


def put_steps(page: Page, report: Report) -> None:
    """Write the account of steps; nothing where no training was observed."""
    account = report.measurements.get("steps")
    if account is None:
        return
    passes = count(account["backward_passes"], "backward pass", "backward passes")
    what = f"{count(account['batches'], 'batch', 'batches')}, {passes}"
    page.put(Text(f"{what}, {count(account['steps'], 'optimizer step')}", style="bold"))
    page.put(_accumulation(account["passes_per_step"], account["accumulation_declared"]), indent=2)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("optimizer", "parameters", "steps", "learning rate by group", "at"):
        table.add_column(heading, overflow="fold")
    for row in account["optimizers"]:
        table.add_row(
            row["name"],
            f"{row['parameters']:,}",
            str(row["steps"]),
            _rates(row["first_learning_rates"], row["last_learning_rates"]),
            row["place"],
        )
    page.put(table, indent=2)
    for item in account["skipped"]:
        where = f" at {item['place']}" if item["place"] else ""
        page.put(Text(f"– {item['number']} × {item['what']}{where}", style="yellow"), indent=2)
    page.put()


def _accumulation(observed: Sequence[int], declared: int) -> str:
    if not observed:
        return "no step was taken"
    each = " or ".join(map(str, observed))
    said = f", {declared} declared" if declared > 1 or observed != [1] else ""
    return f"{each} backward pass{'es' if observed != [1] else ''} a step{said}"


def _rates(first: Sequence[float], last: Sequence[float]) -> str:
    pairs = zip(first, last, strict=False)
    return ", ".join(figure(a) if a == b else f"{figure(a)} → {figure(b)}" for a, b in pairs)
