"""A report against a baseline: what was known already steps back."""

from __future__ import annotations

from dataclasses import replace

from traindoctor.report.outcome import summarise
from traindoctor.report.record import Report, ReportedFinding, SuppressedRecord


def only_new(report: Report, baseline: Report) -> Report:
    """Return the report without what the baseline has, and what that explains.

    The verdict stays that of the whole: what is known is not thereby healthy. Counts, and so
    the exit code, are those of what is new.
    """
    known = {finding.fingerprint for finding in baseline.findings}
    old = {f.id for f in report.findings if f.fingerprint in known}
    old |= {f.id for f in report.findings if f.explained_by in old}
    fresh = tuple(
        replace(f, explains=tuple(other for other in f.explains if other not in old))
        for f in report.findings
        if f.id not in old
    )
    reason = f"known since {baseline.created}"
    stepped_back = tuple(_record(f, reason) for f in report.findings if f.id in old)
    return replace(
        report,
        findings=fresh,
        summary=summarise(fresh),
        probes=tuple(
            replace(probe, findings=tuple(f for f in probe.findings if f not in old))
            for probe in report.probes
        ),
        suppressed=(*report.suppressed, *stepped_back),
    )


def _record(finding: ReportedFinding, reason: str) -> SuppressedRecord:
    return SuppressedRecord(
        code=finding.code, reason=reason, where=str(finding.location), by="baseline"
    )
