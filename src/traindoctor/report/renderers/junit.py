"""JUnit XML, for whatever shows test results: a test case for each finding and each rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traindoctor.report.record import ProbeRecord, Report, ReportedFinding, SuppressedRecord
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.page import figure, harmless
from traindoctor.report.renderers.places import physical

if TYPE_CHECKING:
    from junitparser import TestCase

_NOT_XML = re.compile("[\ufffe\uffff]")  # what `harmless` leaves and XML 1.0 does not allow


def render(report: Report, look: Look) -> str:  # noqa: ARG001  a machine does not look
    """Return one test suite: findings fail, quiet rules pass, what could not judge is skipped."""
    from junitparser import JUnitXml, TestSuite

    suite = TestSuite(_text(f"traindoctor {report.target.reference}"))
    suite.timestamp = report.created
    suite.add_property("verdict", report.verdict)
    suite.add_property("command", _text(report.command))
    for finding in report.findings:
        suite.add_testcase(_found(report, finding))
    for item in report.suppressed:
        suite.add_testcase(_silenced(item))
    found = {finding.code for finding in report.findings}
    found |= {item.code for item in report.suppressed}
    for probe in report.probes:
        for code in probe.rules:
            if code not in found:
                suite.add_testcase(_quiet(probe, code))
    suite.time = round(report.duration_seconds, 3)  # an experiment serves many rules
    log = JUnitXml("traindoctor")
    log.add_testsuite(suite)
    log.time = suite.time
    written: bytes = log.tostring()  # type: ignore[no-untyped-call]
    return written.decode("utf-8") + "\n"


def _found(report: Report, finding: ReportedFinding) -> TestCase:
    """Return a finding as a case: information passes, anything else fails."""
    from junitparser import Failure, TestCase

    case = TestCase(_text(f"{finding.code} {finding.name}"), classname="traindoctor")
    file, line, _ = physical(report, finding)
    case._elem.set("file", _text(file))  # pytest's own extension, which services read
    case._elem.set("line", str(line))
    if finding.severity == "info":
        case.system_out = _text(_body(finding))
        return case
    failure = Failure(_text(finding.title), finding.severity)
    failure.text = _text(_body(finding))
    case.result = [failure]
    return case


def _silenced(item: SuppressedRecord) -> TestCase:
    from junitparser import Skipped, TestCase

    case = TestCase(item.code, classname=f"traindoctor.{item.by}")
    case.result = [Skipped(_text(f"silenced at {item.where}: {item.reason}"))]
    return case


def _quiet(probe: ProbeRecord, code: str) -> TestCase:
    from junitparser import Error, Skipped, TestCase

    case = TestCase(code, classname=_text(f"traindoctor.{probe.name}"))
    if probe.status == "skipped":
        case.result = [Skipped(_text(probe.reason))]
    elif probe.status == "errored":
        case.result = [Error(_text(probe.reason), "traindoctor")]
    return case


def _body(finding: ReportedFinding) -> str:
    lines = [str(finding.location), finding.message, finding.mechanism]
    for row in finding.evidence:
        expected = "" if row.expected is None else f" (expected {figure(row.expected)})"
        lines.append(f"{row.label}: {figure(row.value)} {row.unit or ''}{expected}")
    lines += [f"fix: {remedy.title}" for remedy in finding.remedies if remedy.recommended]
    lines += [f"prove it: {command}" for command in finding.verify]
    return "\n".join(line for line in lines if line)


def _text(value: str) -> str:
    return _NOT_XML.sub("?", harmless(value))
