"""Hooks side by side: what each was given, what it may be given, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traindoctor.trace import HookRow

CRASHING, RISKY, SAFE = "crashing", "risky", "safe"


def hook_rows(rows: Sequence[HookRow]) -> list[dict[str, Any]]:
    """Return one row a hook, as the reports show them."""
    return [
        {
            "hook": row.hook.removesuffix(".hook").rpartition(".")[2],
            "module": row.module or row.module_class,
            "kind": row.kind,
            "given": list(row.given),
            "possible": list(row.possible),
            "fails_on": [kind for kind, error in row.tried if error],
            "status": status_of(row, rows),
            "place": f"{row.place.file}:{row.place.line}" if row.place else "",
        }
        for row in rows
    ]


def status_of(row: HookRow, among: Sequence[HookRow]) -> str:
    """Return `crashing` where it raised, `risky` where it fails on what it may meet, or `safe`."""
    if has_crashed(row):
        return CRASHING
    return RISKY if fails_on(row, [other for other in among if has_crashed(other)]) else SAFE


def has_crashed(row: HookRow) -> bool:
    """Tell whether it raised in the run, other than on purpose."""
    return bool(row.error_type) and not row.is_users_error


def fails_on(row: HookRow, crashing: Sequence[HookRow]) -> list[str]:
    """Return the kinds of output that it fails on, if it may meet one of them.

    It may where its module's own forward makes such a kind, or where another hook of the same
    file has already crashed on it.
    """
    failed = [kind for kind, error in row.tried if error]
    own = row.is_users_module and set(failed) & set(row.possible)
    shared = {
        kind
        for other in crashing
        if other.place.file == row.place.file and other.place != row.place
        for kind, error in other.tried
        if error and kind in other.possible
    }
    return failed if own or shared & set(failed) else []
