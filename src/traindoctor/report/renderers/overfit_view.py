"""Whether one batch could be learned, with the curve."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from traindoctor.report.record import Report
from traindoctor.report.renderers.curve import draw
from traindoctor.report.renderers.page import Page, count, figure

_VERDICTS = {
    True: ("✓ Learned", "bold green"),
    False: ("✗ Not learned", "bold red"),
    None: ("– Could not judge", "bold yellow"),
}
PLOT_LINES, MOST_COLUMNS = 8, 76


def put_overfit(page: Page, report: Report) -> None:
    """Write what became of overfitting one batch; nothing where it was not tried."""
    result = report.measurements.get("overfit")
    if result is None:
        return
    page.put(_headline(result))
    page.put(_terms(result), indent=2, style="dim")
    curve = result.get("curve") or {"x": [], "y": []}
    for line in draw(
        curve["x"],
        curve["y"],
        width=min(page.look.width - 2, MOST_COLUMNS),
        height=PLOT_LINES,
        floor=result.get("floor"),
        unicode=page.look.unicode,
    ):
        page.put(Text(line), indent=2)
    page.put()


def _headline(result: dict[str, Any]) -> Text:
    start, end = figure(result["start"]), figure(result["end"])
    what = f"one batch, loss {start} → {end} in {count(result['steps'], 'step')}"
    verdict, style = _VERDICTS[result["learned"]]
    return Text.assemble((verdict, style), f": {what}; {result['reason']}")


def _terms(result: dict[str, Any]) -> str:
    terms = [f"{result['optimizer']} at {figure(result['learning_rate'])}"]
    if result.get("floor") is not None:
        why = f" ({result['floor_reason']})" if result.get("floor_reason") else ""
        terms.append(f"floor {figure(result['floor'])}{why}")
    if result.get("target") is not None:
        terms.append(f"target {figure(result['target'])}")
    if result.get("stochastic"):
        terms.append("the objective draws random numbers, so its curve is noisy")
    return " · ".join(terms)
