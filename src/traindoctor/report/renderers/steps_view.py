"""Steps against batches: accumulation, learning rates, and who skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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
    page.put_table(
        ("optimizer", "steps", "group", "tensors", "learning rate", "gradient norm"),
        [row for optimizer in account["optimizers"] for row in _rows(optimizer)],
    )
    places = dict.fromkeys(o["place"] for o in account["optimizers"] if o["place"])
    if places:
        page.put(f"stepped at {', '.join(places)}", indent=2, style="dim")
    for item in account["skipped"]:
        where = f" at {item['place']}" if item["place"] else ""
        page.put(Text(f"– {item['number']} × {item['what']}{where}", style="yellow"), indent=2)
    if account["ended_by"]:
        page.put(Text(f"– {account['ended_by']}", style="red"), indent=2)
    page.put()


def _accumulation(observed: Sequence[int], declared: int) -> str:
    if not observed:
        return "no step was taken"
    each = " or ".join(map(str, observed))
    said = f", {declared} declared" if declared > 1 or observed != [1] else ""
    return f"{each} backward pass{'es' if observed != [1] else ''} a step{said}"


def _rows(optimizer: dict[str, Any]) -> Iterator[list[str]]:
    """Yield one row a group; what is the optimizer's stands in the first."""
    for number, group in enumerate(optimizer["groups"]):
        yield [
            "" if number else optimizer["name"],
            "" if number else str(optimizer["steps"]),
            group["name"] or f"{number}",
            f"{group['parameters']:,}",
            _course(group["learning_rates"]),
            _course(group["gradient_norms"]),
        ]


def _course(values: Sequence[float | None]) -> str:
    """Return the first value and the last; one where they are the same, – where there is none."""
    shown = [figure(value) for value in values if value is not None]
    return " → ".join(dict.fromkeys(shown)) or "–"
