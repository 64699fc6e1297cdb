"""Annotations of a GitHub workflow: one command a finding, which shows it at its line."""

from __future__ import annotations

from traindoctor.report.record import Report, ReportedFinding
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.page import harmless
from traindoctor.report.renderers.places import physical

LEVELS = {"critical": "error", "error": "error", "warning": "warning", "info": "notice"}


def render(report: Report, look: Look) -> str:  # noqa: ARG001  a machine does not look
    """Return the workflow commands, root causes first."""
    return "".join(_command(report, finding) + "\n" for finding in report.findings)


def _command(report: Report, finding: ReportedFinding) -> str:
    file, first, last = physical(report, finding)
    properties = {
        "file": file,
        "line": str(first),
        "endLine": str(last),
        "title": f"{finding.code} {finding.name}",
    }
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{LEVELS[finding.severity]} {said}::{_data(_message(finding))}"


def _message(finding: ReportedFinding) -> str:
    lines = [finding.title, finding.message]
    lines += [f"A symptom of {finding.explained_by}."] if finding.explained_by else []
    lines += [f"fix: {remedy.title}" for remedy in finding.remedies if remedy.recommended]
    lines += [f"prove it: {command}" for command in finding.verify]
    return "\n".join(line for line in lines if line)


def _data(text: str) -> str:
    """Escape as the runner's toolkit does, or a message could issue commands."""
    return harmless(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
