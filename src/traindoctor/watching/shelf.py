"""Where traces are kept that nobody asked to keep: until their report is delivered."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from traindoctor.errors import UsageError
from traindoctor.target.processes import Rank
from traindoctor.watching.meeting import remove_traces

MOST_KEPT = 20  # of runs that were cut off
MOST_LETTERS = 40  # of a script's name, in that of its trace


def folder() -> Path:
    """Return the user's folder for traces, made if it is not there.

    Raises:
        UsageError: it cannot be made, or is somebody else's.
    """
    who = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        path = Path(tempfile.gettempdir()) / f"traindoctor-{who}"
        path.mkdir(mode=0o700, exist_ok=True)
        is_own = who in ("user", path.lstat().st_uid) and not path.is_symlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"there is no place for a trace ({reason}); name one by --trace") from None
    if not is_own:
        raise UsageError(f"the folder {path} is somebody else's; name another place by --trace")
    return path


def new_trace(script: str, rank: Rank | None = None) -> Path:
    """Return a file for a run's trace; the oldest of too many are removed.

    All processes of a run, where there are several, are given the same one.
    """
    kept = _by_age()
    for old in kept[: max(len(kept) - MOST_KEPT, 0)]:
        remove_traces(old)
    if rank is not None:
        return folder() / f"{_stem(script)}-{rank.meeting}.trace"
    name = f"{_stem(script)}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.trace"
    return folder() / name


def latest() -> Path | None:
    """Return the trace that was written last, if any was left behind."""
    return next(reversed(_by_age()), None)


def _by_age() -> list[Path]:
    """Return the traces there are, the oldest first."""
    return sorted(folder().glob("*.trace"), key=_written_at)


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another run has just removed it
        return 0.0


def _stem(script: str) -> str:
    return Path(script).stem[:MOST_LETTERS]
