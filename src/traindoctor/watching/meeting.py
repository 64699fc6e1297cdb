"""Where the processes of one run meet: each writes a trace of its own, beside the first one's."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from traindoctor.errors import TargetError
from traindoctor.instruments.call_log import calls_in
from traindoctor.target.processes import Rank
from traindoctor.trace import RankRow, Trace
from traindoctor.trace.folding import Folding
from traindoctor.trace.storage import StoredTraces, TraceFile
from traindoctor.watching.record import RUN

TICK_SECONDS = 0.1
MOST_TOLD = 8  # processes
CALLS = ".calls"  # what a trace's file of collectives ends with
COMPARED = ("ranks", "digests", "loaders", "passes", "clips", "exceptions")
PATIENCE_SECONDS, SHORT_PATIENCE_SECONDS = 60.0, 10.0


def trace_of(first: Path, rank: Rank | None) -> Path:
    """Return the file of a process's trace; `first` is that of the first one of this machine."""
    if rank is None or rank.local_rank == 0:
        return first
    return first.with_name(f"{first.name}.rank-{rank.local_rank}")


def calls_beside(trace: Path) -> Path:
    """Return the file of the last collectives of the process that a trace is of."""
    return trace.with_name(f"{trace.name}{CALLS}")


def traces_beside(first: Path) -> list[Path]:
    """Return the traces of the other processes, in the order of their ranks."""
    found = first.parent.glob(f"{first.name}.rank-*")
    numbered = [(path.name.rpartition("-")[2], path) for path in found]
    return [path for _, path in sorted((int(n), path) for n, path in numbered if n.isdigit())]


def remove_traces(first: Path) -> None:
    """Remove the trace of a run, and those of its other processes."""
    for path in (first, *traces_beside(first)):
        remove_trace(path)


def remove_trace(path: Path) -> None:
    """Remove one trace, with what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm", CALLS):
        with suppress(OSError):  # it is not there, or the disk takes no changes any more
            Path(f"{path}{ending}").unlink()


def note_end(trace: Path, status: int) -> None:
    """Write how a process ended into its trace: who was killed could not do so itself."""
    try:
        if not _has_ended(trace) and trace.exists():
            file = TraceFile(trace)
            file.put_facts(RUN, {"status": status, "ended_at": time.time()})
            file.close()
    except OSError:  # there is no room for it
        return


def first_failure(first: Path) -> int | None:
    """Return the exit status of the process of a run that was the first to fail, if one did."""
    facts = [_facts(path) for path in (first, *traces_beside(first))]
    failed = [(one["ended_at"], one["status"]) for one in facts if one.get("status")]
    return min(failed)[1] if failed else None


def wait_for_others(first: Path, rank: Rank, is_short: Callable[[], bool]) -> None:
    """Wait until the other processes of this machine have ended, at most for a minute.

    Args:
        first: the trace of the first process.
        rank: of the first process.
        is_short: tells that something went wrong, and the others may never end by themselves.
    """
    start = time.monotonic()
    while sum(_has_ended(path) for path in traces_beside(first)) < rank.local_world_size - 1:
        patience = SHORT_PATIENCE_SECONDS if is_short() else PATIENCE_SECONDS
        if time.monotonic() - start > patience:
            return
        time.sleep(TICK_SECONDS)


def lost_among(rows: Collection[RankRow]) -> str:
    """Say which of several processes did not come to their end, the first few of them."""
    found = [text for row in rows if (text := lost(row))]
    more = len(found) - MOST_TOLD
    return "; ".join(found[:MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")


def lost(row: RankRow) -> str:
    """Say of a process of several that it did not come to its end, and why, where it did not."""
    if row.exceptions:
        return f"rank {row.rank}: {row.exceptions[-1].summary}"
    if row.state != "running":
        return ""
    last = row.calls[-1] if row.calls else None
    if last is None or last.state != "entered":
        return f"rank {row.rank} did not end by itself"
    return f"rank {row.rank} was in {last.name} at {last.place.file}:{last.place.line}"


def raised_in(trace: Path) -> str:
    """Return the exception that a process has ended with, if it has written of one."""
    rows = _run(trace, ("exceptions",)).exceptions
    return rows[-1].summary if rows else ""


def together(own: Trace, first: Path) -> Trace | None:
    """Return the tables of the first process, with ranks and digests of all; None for one alone.

    Args:
        own: the first process's trace.
        first: its file.
    """
    paths, ranks, digests, folding = [], [], [], Folding()
    for path in [first, *traces_beside(first)] if own.ranks else []:
        trace = own if path == first else _run(path, COMPARED)
        if trace.ranks:
            paths.append(path)
            ranks.append(_as_it_ended(trace))
            digests += folding.added(trace.digests)
    if len(ranks) < 2:
        return None
    if any(row.exceptions or row.state != "returned" for row in ranks):
        logs = [calls_in(calls_beside(path)) for path in paths]
        ranks = [replace(row, calls=calls) for row, calls in zip(ranks, logs, strict=True)]
    return replace(own, ranks=tuple(ranks), digests=tuple(digests))


def _as_it_ended(trace: Trace) -> RankRow:
    return replace(
        trace.ranks[0],
        state=str(trace.facts.get("state", "")),
        num_batches=trace.num_batches,
        num_backwards=trace.num_backwards,
        num_steps=trace.num_steps,
        loaders=trace.loaders,
        passes=tuple(row for row in trace.passes if not row.is_evaluation),
        clips=trace.clips,
        exceptions=trace.exceptions,
    )


def _run(path: Path, tables: Collection[str]) -> Trace:
    try:
        return StoredTraces(path).trace(RUN, tables) or Trace()
    except TargetError:  # nothing is written yet
        return Trace()


def _has_ended(path: Path) -> bool:
    return _facts(path).get("status") is not None


def _facts(path: Path) -> dict[str, Any]:
    try:
        return StoredTraces(path).facts(RUN)
    except TargetError:  # nothing is written yet
        return {}
