"""Where traces are kept that nobody asked to keep: until their report is delivered."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from traindoctor.target.processes import Rank
from traindoctor.watching.meeting import remove_traces

MOST_KEPT = 20  # of runs that were cut off


def folder() -> Path:
    """Return the user's folder for traces, made if it is not there."""
    who = os.getuid() if hasattr(os, "getuid") else "user"
    path = Path(tempfile.gettempdir()) / f"traindoctor-{who}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def new_trace(script: str, rank: Rank | None = None) -> Path:
    """Return a file for a run's trace; the oldest of too many are removed.

    All processes of a run, where there are several, are given the same one.
    """
    kept = sorted(folder().glob("*.trace"), key=lambda path: path.stat().st_mtime)
    for old in kept[: max(len(kept) - MOST_KEPT, 0)]:
        remove_traces(old)
    if rank is not None:
        return folder() / f"{Path(script).stem}-{rank.meeting}.trace"
    name = f"{Path(script).stem}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.trace"
    return folder() / name


def latest() -> Path | None:
    """Return the trace that was written last, if any was left behind."""
    return max(folder().glob("*.trace"), key=lambda path: path.stat().st_mtime, default=None)
