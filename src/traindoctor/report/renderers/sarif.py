"""SARIF 2.1.0, for code scanning: each result at a line of the repository."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from traindoctor.codec import dumps, encode
from traindoctor.probing.finding import Location
from traindoctor.probing.registry import all_rules
from traindoctor.report.record import Report, ReportedFinding, SuppressedRecord
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.page import figure, harmless
from traindoctor.report.renderers.places import in_repository, physical

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"critical": "error", "error": "error", "warning": "warning", "info": "note"}
ROOT = "%SRCROOT%"

Json = dict[str, Any]


def render(report: Report, look: Look) -> str:  # noqa: ARG001  a machine does not look
    """Return the report as a SARIF log of one run."""
    found = {finding.code for finding in report.findings}
    codes = sorted(found | {item.code for item in report.suppressed})
    run = {
        "tool": {"driver": _driver(report, codes)},
        "automationDetails": {"id": f"traindoctor/{harmless(report.target.reference)}/"},
        "invocations": [_invocation(report)],
        "results": [_result(report, finding, codes) for finding in report.findings]
        + [_silenced(report, item, codes) for item in report.suppressed],
        "columnKind": "unicodeCodePoints",
        "properties": {"verdict": report.verdict, "target": report.target.reference},
    }
    return dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _driver(report: Report, codes: Iterable[str]) -> Json:
    names = {finding.code: finding.name for finding in report.findings}
    return {
        "name": "traindoctor",
        "version": report.tool["version"],
        "rules": [_rule(code, names.get(code, code)) for code in codes],
    }


def _rule(code: str, name: str) -> Json:
    """Describe a rule by its own manual; one that is not installed here, by its name."""
    rule = all_rules().get(code)
    if rule is None:
        return {"id": code, "name": name, "shortDescription": {"text": name or code}}
    return {
        "id": code,
        "name": rule.name,
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": f"{rule.what} {rule.why}"},
        "help": {"text": f"{rule.why}\nKnown limits: {rule.known_limits}"},
        "defaultConfiguration": {"level": LEVELS[rule.severity.value]},
        "properties": {"tags": [rule.family.label]},
    }


def _invocation(report: Report) -> Json:
    notes = [
        {
            "level": "error" if probe.status == "errored" else "note",
            "message": {"text": f"{probe.name}: {probe.reason}"},
        }
        for probe in report.probes
        if probe.status in ("skipped", "errored")
    ]
    return {
        "executionSuccessful": True,
        "commandLine": report.command,
        "endTimeUtc": report.created.replace("+00:00", "Z"),
        "toolExecutionNotifications": notes,
    }


def _result(report: Report, finding: ReportedFinding, codes: list[str]) -> Json:
    file, first, last = physical(report, finding)
    region: Json = {"startLine": first, "endLine": last}
    if finding.snippet and finding.location.line == first:
        lines = [text for number, text in finding.snippet if first <= number <= last]
        region["snippet"] = {"text": "\n".join(lines)}
    place: Json = {"physicalLocation": _physical(file, region)}
    logical = _logical(finding.location)
    if logical:
        place["logicalLocations"] = logical
    related = [
        {
            "id": number,
            "message": {"text": line or str(other)},
            "physicalLocation": _physical(path, {"startLine": other.line or 1}),
        }
        for number, (other, line, path) in enumerate(_others(report, finding), start=1)
    ]
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": LEVELS[finding.severity],
        "message": {"text": _message(finding)},
        "locations": [place],
        "relatedLocations": related,
        "partialFingerprints": {"traindoctor/v1": finding.fingerprint},
        "properties": {
            "id": finding.id,
            "severity": finding.severity,
            "confidence": finding.confidence,
            "role": finding.role,
            "explainedBy": finding.explained_by,
            "evidence": encode(finding.evidence),
            "verify": list(finding.verify),
        },
    }


def _silenced(report: Report, item: SuppressedRecord, codes: list[str]) -> Json:
    file, _, line = item.where.rpartition(":")
    path = in_repository(report, file if line.isdecimal() else item.where)
    region = {"startLine": max(1, int(line))} if line.isdecimal() else {"startLine": 1}
    return {
        "ruleId": item.code,
        "ruleIndex": codes.index(item.code),
        "message": {"text": f"silenced: {item.reason}"},
        "locations": [{"physicalLocation": _physical(path or "pyproject.toml", region)}],
        "suppressions": [
            {
                "kind": "inSource" if item.by == "source" else "external",
                "justification": item.reason,
            }
        ],
    }


def _physical(file: str, region: Json) -> Json:
    uri = quote(file.encode("utf-8", "replace"))
    return {"artifactLocation": {"uri": uri, "uriBaseId": ROOT}, "region": region}


def _others(report: Report, finding: ReportedFinding) -> Iterable[tuple[Location, str, str]]:
    lines = [*finding.also_lines, *[""] * len(finding.also_at)]
    for place, line in zip(finding.also_at, lines, strict=False):
        path = in_repository(report, place.file)
        if path:
            yield place, line, path


def _logical(place: Location) -> list[Json]:
    named = (("module", place.module), ("member", place.parameter), ("function", place.symbol))
    return [{"fullyQualifiedName": name, "kind": kind} for kind, name in named if name]


def _message(finding: ReportedFinding) -> str:
    """Say title and symptom; evidence and remedy follow, for readers that show this alone."""
    lines = [finding.title, finding.message, finding.mechanism]
    for row in finding.evidence:
        expected = "" if row.expected is None else f" (expected {figure(row.expected)})"
        unit = f" {row.unit}" if row.unit else ""
        lines.append(f"{row.label}: {figure(row.value)}{unit}{expected}")
    lines += [f"fix: {remedy.title}" for remedy in finding.remedies if remedy.recommended]
    lines += [f"prove it: {command}" for command in finding.verify]
    return "\n".join(line for line in lines if line) or finding.code
