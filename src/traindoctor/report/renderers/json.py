"""The record itself; `traindoctor schema` prints its schema."""

from __future__ import annotations

from traindoctor.codec import dumps
from traindoctor.report.record import Report
from traindoctor.report.renderers.look import Look


def render(report: Report, look: Look) -> str:  # noqa: ARG001  a machine does not look
    """Return the report as indented JSON."""
    return dumps(report, indent=2) + "\n"
