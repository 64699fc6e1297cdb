"""What the user silenced: a comment with a reason at the line, or a pattern in the settings."""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from traindoctor.probing.events import Suppressed
from traindoctor.probing.finding import Finding

_COMMENT = re.compile(r"#\s*traindoctor:\s*ignore\[([^\]]*)\]\s*(.*)")

Silent = Mapping[str, tuple[str, ...]]
"""Patterns of absolute paths, each with the codes that are silent there."""


def suppressed(finding: Finding, silent: Silent) -> Suppressed | None:
    """Return the record of a finding that the user silenced, or None."""
    reason = suppression(finding)
    if reason:
        where = str(finding.location)
        return Suppressed(code=finding.code, reason=reason, where=where)
    pattern = _pattern(finding, silent)
    if pattern is None:
        return None
    where = str(finding.location)
    return Suppressed(
        code=finding.code, reason=f"per-file-ignores of {pattern}", where=where, by="settings"
    )


def suppression(finding: Finding) -> str | None:
    """Return the reason of a `# traindoctor: ignore[CODE] reason` at the finding's line.

    A comment names codes or names of rules. One without a reason silences nothing.
    """
    named, reason = _comment(finding)
    return reason or None if named else None


def complain(finding: Finding) -> Finding:
    """Say with a finding that the comment at its line lacks the reason it needs."""
    named, reason = _comment(finding)
    if not named or reason:
        return finding
    said = "The comment there that ignores it gives no reason, so it is not silenced."
    return replace(finding, message=f"{finding.message} {said}".strip())


def _comment(finding: Finding) -> tuple[bool, str]:
    """Tell whether a comment at the finding's line names its rule, and with which reason."""
    place = finding.location
    if not place.file or not place.line:
        return False, ""
    match = _COMMENT.search(linecache.getline(place.file, place.line))
    if match is None:
        return False, ""
    named = {word.strip().lower() for word in match[1].split(",")}
    return bool(named & {finding.code.lower(), finding.name}), match[2].strip()


def _pattern(finding: Finding, silent: Silent) -> str | None:
    file = finding.location.file
    if not file:
        return None
    path = Path(file).as_posix()
    return next(
        (
            pattern
            for pattern, codes in silent.items()
            if finding.code in codes and fnmatchcase(path, pattern)
        ),
        None,
    )
