"""A comparison for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from traindoctor.codec import map_strings
from traindoctor.report.comparison import Comparison
from traindoctor.report.record import ReportedFinding
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.page import MARKS, STYLES, Page, count, figure, harmless


def render_comparison(made: Comparison, look: Look) -> str:
    """Return what is new, fixed and still there, and the figures that moved."""
    made = map_strings(made, harmless)
    page = Page(look)
    for heading, findings, style in (
        ("new", made.new, "bold red"),
        ("still there", made.still, "bold"),
        ("not judged this time", made.unjudged, "bold"),
        ("fixed", made.fixed, "bold green"),
    ):
        _put_group(page, heading, findings, style)
    if made.moved:
        page.put("moved", style="bold")
        for item in made.moved:
            unit = f" {item.unit}" if item.unit else ""
            page.put(f"{item.name}: {figure(item.old)} → {figure(item.new)}{unit}", indent=2)
        page.put()
    before, after = made.verdicts
    course = after if before == after else f"{before} → {after}"
    page.put(
        Text(
            f"{len(made.new)} new, {len(made.fixed)} fixed, {len(made.still)} still there"
            f" ({count(len(made.moved), 'figure')} moved): {course}.",
            style="bold",
        )
    )
    return page.text()


def _put_group(page: Page, heading: str, findings: Sequence[ReportedFinding], style: str) -> None:
    if not findings:
        return
    page.put(heading, style=style)
    for finding in findings:
        where = str(finding.location)
        line = Text.assemble(
            (MARKS[finding.severity], STYLES[finding.severity]),
            f" {finding.code} {finding.name}: {finding.title}",
        )
        page.put(line, indent=2)
        if where:
            page.put(where, indent=4, style="dim")
    page.put()
