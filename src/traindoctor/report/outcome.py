"""What findings and probes come to: the verdict, the counts and the exit code."""

from __future__ import annotations

from collections.abc import Sequence

from traindoctor.probing.rule import Severity
from traindoctor.report.record import ProbeRecord, Report, ReportedFinding, Summary

OK, FOUND, USAGE, INTERNAL, NOT_OBSERVED = 0, 1, 2, 3, 5


def verdict(
    findings: Sequence[ReportedFinding], probes: Sequence[ProbeRecord], required: frozenset[str]
) -> str:
    """Return `blocked`, `unwell`, `healthy`, or `inconclusive` where nobody really looked."""
    severities = {finding.severity for finding in findings}
    if Severity.CRITICAL in severities:
        return "blocked"
    if severities & {Severity.ERROR, Severity.WARNING}:
        return "unwell"
    passed = {probe.name for probe in probes if probe.status == "passed"}
    return "healthy" if required and required <= passed else "inconclusive"


def summarise(findings: Sequence[ReportedFinding]) -> Summary:
    """Count findings by severity, and those that are no mere information by role."""
    severities = [finding.severity for finding in findings]
    roles = [finding.role for finding in findings if finding.severity != Severity.INFO]
    return Summary(
        **{severity.value: severities.count(severity.value) for severity in Severity},
        root_causes=roles.count("root-cause"),
        symptoms=roles.count("symptom"),
    )


def exit_code(report: Report, fail_on: str) -> int:
    """Return 1 for a finding at or above `fail_on`, 5 where nothing was observed, else 0.

    Nothing was observed where no experiment took a step and a probe went without; a probe
    that broke off leaves it open as well, so that a crash is never taken for health.

    Args:
        report: the report.
        fail_on: the mildest severity that fails, or `never`.
    """
    if reaches(report.findings, fail_on):
        return FOUND
    if report.verdict != "inconclusive":
        return OK
    statuses = {probe.status for probe in report.probes}
    num_steps = sum(experiment.steps for experiment in report.experiments)
    is_open = "errored" in statuses or ("skipped" in statuses and not num_steps)
    return NOT_OBSERVED if is_open else OK


def reaches(findings: Sequence[ReportedFinding], fail_on: str) -> bool:
    """Tell whether a finding is as severe as `fail_on`, which may be `never`."""
    if fail_on == "never":
        return False
    threshold = Severity(fail_on).rank
    return any(Severity(finding.severity).rank >= threshold for finding in findings)
