"""The record as JSON lines: the head, then one line a finding, probe and experiment."""

from __future__ import annotations

from typing import Any

from traindoctor.codec import dumps, encode
from traindoctor.report.record import Report
from traindoctor.report.renderers.look import Look

_TABLES = {
    "findings": "finding",
    "probes": "probe",
    "experiments": "experiment",
    "suppressed": "suppressed",
}


def render(report: Report, look: Look) -> str:  # noqa: ARG001  a machine does not look
    """Return the report, each line an object whose `type` says what it is."""
    record: dict[str, Any] = encode(report)
    head = {key: value for key, value in record.items() if key not in _TABLES}
    rows = [{"type": "report", **head}]
    for table, name in _TABLES.items():
        rows += [{"type": name, **row} for row in record[table]]
    return "".join(dumps(row) + "\n" for row in rows)
