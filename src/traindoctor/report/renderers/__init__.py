"""The formats of a report. Each is one module with `render(report, look) -> str`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traindoctor.report.record import Report
    from traindoctor.report.renderers.look import Look

RENDERERS = {
    "text": "traindoctor.report.renderers.text",
    "markdown": "traindoctor.report.renderers.markdown",
    "json": "traindoctor.report.renderers.json",
}
"""Format to the module that makes it, imported when it is used."""

ENDINGS = {".txt": "text", ".md": "markdown", ".json": "json"}
"""File ending to format."""


def render(report: Report, form: str, look: Look) -> str:
    """Return a report in one of `RENDERERS`' formats."""
    made: str = import_module(RENDERERS[form]).render(report, look)
    return made
