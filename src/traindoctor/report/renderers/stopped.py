"""The exception that kept a setup from being trained."""

from __future__ import annotations

import re

from traindoctor.report.record import Report
from traindoctor.report.renderers.watch_view import raised

TOO_FEW = re.compile(r"\d+ of the \d+ \w+ needed were observed(?:: (.*))?", re.DOTALL)
_RAISED = re.compile(r"raised (\w+)(?: at .+?:\d+)?: (.*)", re.DOTALL)


def stopped_by(report: Report) -> str:
    """Return what probes found raised where they needed steps; nothing where a finding tells it."""
    reasons = (TOO_FEW.match(probe.reason) for probe in report.probes)
    said = next((reason[1] for reason in reasons if reason and reason[1]), "")
    words = _RAISED.search(said)
    if words is None or raised(report):
        return ""
    told = "".join(f"{item.title} {item.message} {item.quote}" for item in report.findings)
    first_sentence = words[2].partition(". ")[0]
    return "" if (first_sentence or words[1]) in told else said
