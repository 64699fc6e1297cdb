"""Places as services see them that know a repository and no working directory."""

from __future__ import annotations

import posixpath

from traindoctor.probing.finding import Location
from traindoctor.report.record import Report, ReportedFinding


def in_repository(report: Report, file: str | None) -> str | None:
    """Return a file relative to the repository's root; None for one that lies outside."""
    if not file:
        return None
    path = posixpath.normpath(posixpath.join(report.target.folder, file.replace("\\", "/")))
    is_outside = path.startswith(("/", "../")) or path in (".", "..") or path[1:2] == ":"
    return None if is_outside else path


def physical(report: Report, finding: ReportedFinding) -> tuple[str, int, int]:
    """Return file and first and last line of a finding, which every service insists on.

    Of a finding without a line of its own it is the factory's or the script's; failing that,
    the first line of the file that the target names.
    """
    for place in (finding.location, *finding.also_at, report.target.location):
        file = in_repository(report, place.file)
        if file:
            return (file, *_lines(place))
    named = report.target.reference.rpartition(":")[0] or report.target.reference
    return in_repository(report, named) or "pyproject.toml", 1, 1


def _lines(place: Location) -> tuple[int, int]:
    first = place.line or 1
    return first, max(first, place.end_line or first)
