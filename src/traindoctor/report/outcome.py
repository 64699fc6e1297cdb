"""What a report means to whoever started the run: the exit code."""

from __future__ import annotations

from traindoctor.probing.rule import Severity
from traindoctor.report.record import Report

OK, FOUND, USAGE, INTERNAL, NOT_OBSERVED = 0, 1, 2, 3, 5


def exit_code(report: Report, fail_on: str) -> int:
    """Return 1 for a finding at or above `fail_on`, 5 where nothing was observed, else 0.

    Nothing was observed where no experiment took a step and a probe went without; a probe
    that broke off leaves it open as well, so that a crash is never taken for health.

    Args:
        report: the report.
        fail_on: the mildest severity that fails, or `never`.
    """
    if fail_on != "never":
        threshold = Severity(fail_on).rank
        if any(Severity(finding.severity).rank >= threshold for finding in report.findings):
            return FOUND
    if report.verdict != "inconclusive":
        return OK
    statuses = {probe.status for probe in report.probes}
    num_steps = sum(experiment.steps for experiment in report.experiments)
    is_open = "errored" in statuses or ("skipped" in statuses and not num_steps)
    return NOT_OBSERVED if is_open else OK
