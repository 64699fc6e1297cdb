"""Reads reports that were kept as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from traindoctor.codec import loads
from traindoctor.errors import UsageError
from traindoctor.report.record import SCHEMA_VERSION, Report


def load_report(path: Path) -> Report:
    """Return the report that a file holds.

    Raises:
        UsageError: it cannot be read, or is no report of a version that is known.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8; a report is JSON") from None
    try:
        return loads(Report, text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    except ValueError as error:
        raise UsageError(f"{path} is no report{_version(text)}: {error}") from None


def _version(text: str) -> str:
    found = json.loads(text)
    version = found.get("schema_version") if isinstance(found, dict) else None
    known = version in (None, SCHEMA_VERSION)
    return "" if known else f" that traindoctor {SCHEMA_VERSION} reads, its schema is {version}"
