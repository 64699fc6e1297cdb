"""The formats of a report. Each is one module with `render(report, look) -> str`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traindoctor.report.record import Report
    from traindoctor.report.renderers.look import Look

RENDERERS = {
    form: f"traindoctor.report.renderers.{form}"
    for form in ("text", "markdown", "html", "json", "jsonl", "sarif", "junit", "github")
}
"""Format to the module that makes it, imported when it is used."""

ENDINGS = {
    ".txt": "text",
    ".md": "markdown",
    ".html": "html",
    ".json": "json",
    ".jsonl": "jsonl",
    ".sarif": "sarif",
    ".xml": "junit",
}
"""File ending to format."""


def render(report: Report, form: str, look: Look) -> str:
    """Return a report in one of `RENDERERS`' formats."""
    made: str = import_module(RENDERERS[form]).render(report, look)
    return made
