"""Writes what a session has seen to the trace on disk, from a thread of its own.

The script's thread takes a snapshot of the tables between two steps: twice a second at first, later
as rarely as keeps it within a hundredth of the time. The writing is the other thread's, which holds
the interpreter as long as it works.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traindoctor.target.source import user_files
from traindoctor.trace import SourceRow, Trace
from traindoctor.trace.storage import TraceFile

if TYPE_CHECKING:
    from traindoctor.watching.opening import Opening
    from traindoctor.watching.session import Session

FLUSH_SECONDS, LONGEST = 0.5, 10.0  # between two snapshots
SHARE = 0.01  # of the time that taking and writing them may take, once the opening is over
# What traces are called: as the experiments whose place they take.
RUN, OPENING, FIRST_STEP = "long-run", "short-run", "one-step"
WEIGHTS, MATRICES, SOURCE = "read-weights", "watch-weights", "read-source"
POST_MORTEM, ZEROS = "locate-non-finite", "locate-zero-gradient"
# What is seen of a training's first steps.
CLOSELY = (OPENING, FIRST_STEP, WEIGHTS, MATRICES, ZEROS)
MOST_SOURCE = 2_000_000  # characters of the user's files


class Record:
    """What is on disk of a run."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.file: TraceFile | None = None
        self.others: dict[str, Trace] = {}  # traces beside the run's own, each written once
        self._closed: Trace | None = None  # the opening's tables, once it is over
        self._snapshot: Trace | None = None
        self._due = float("-inf")
        self._write_seconds = 0.0  # what the last snapshot took the other thread
        self._written: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._is_due = threading.Event()
        self._is_over = False

    def begin(self, path: Path) -> None:
        """Open the file and start writing."""
        orders = self.session.orders
        self.file = TraceFile(path)
        self.file.put_facts(
            RUN,
            {
                "process": os.getpid(),
                "state": "running",
                "reference": orders.script,
                "verify": orders.verify,
                "rank": None if self.session.rank is None else asdict(self.session.rank),
            },
        )
        threading.Thread(target=self._write_on, name="traindoctor-record", daemon=True).start()

    def offer(self, now: float) -> None:
        """Take a snapshot, if it is time for one."""
        if now >= self._due and self.file is not None:
            self._snapshot = self._taken_now()
            seconds = self.session.clock() - now + self._write_seconds
            gap = 0.0 if self.session.opening is not None else min(seconds / SHARE, LONGEST)
            self._due = now + max(gap, FLUSH_SECONDS)
            self._is_due.set()

    def opening_closed(self, opening: Opening) -> None:
        """Take over an opening's tables and let go of what it held."""
        self.session.bring_up_to_date()
        self._closed = self.others[OPENING] = opening.trace(is_over=True)
        self.others |= seen_closely(opening)
        opening.close()

    def end(self, state: str) -> None:
        """Write everything and close the file."""
        if self.file is None:
            return
        self._is_over = True
        self._snapshot = self._taken_now()
        with self._lock:
            self._write(state)
            if self.file is not None:
                self.file.close()
            self.file = None

    def forget(self) -> None:
        """Have nothing to do with the file any more: this is a forked child."""
        self.file, self._lock, self._is_over = None, threading.Lock(), True

    def _taken_now(self) -> Trace:
        """Return the run's tables as they are."""
        session, opening = self.session, self.session.opening
        session.bring_up_to_date()
        whole = session.recorder.trace()
        known = self._closed
        if opening is not None:
            known = opening.trace()
            self.others |= seen_closely(opening)
        self.others |= session.later.up_to_date()
        tables: dict[str, Any] = {}
        if known is not None:
            names = ("setup", "parameters", "modules", "optimizers")
            tables = {name: getattr(known, name) for name in names}
        facts = {} if known is None else known.facts
        tables["facts"] = {**facts, **whole.facts, **session.facts()}
        if session.incidents.trace is not None:
            self.others[POST_MORTEM] = session.incidents.trace
        return replace(whole, losses=session.losses(), pulses=session.meter.all_rows(), **tables)

    def _write_on(self) -> None:
        while not self._is_over:
            self._is_due.wait()
            self._is_due.clear()
            start = time.thread_time()
            with self._lock:
                self._write("running")
            self._write_seconds = time.thread_time() - start

    def _write(self, state: str) -> None:
        snapshot = self._snapshot
        if self.file is None or snapshot is None:
            return
        try:
            self._put_run(self.file, snapshot)
            for name, trace in list(self.others.items()):
                if self._written.get(name) is not trace:
                    self._written[name] = trace
                    _put_trace(self.file, name, trace)
            self._put_facts(self.file, {**snapshot.facts, "state": state})
            if state != "running":
                self._put_source(self.file)
        except (OSError, TypeError, ValueError) as error:
            self.file = None
            self.session.troubles.note("writing the trace", error)

    def _put_run(self, file: TraceFile, snapshot: Trace) -> None:
        for item in fields(snapshot):
            if item.name == "facts":
                continue
            rows = getattr(snapshot, item.name)
            rows, done = (rows,) if item.name == "setup" else rows, self._written.get(item.name, ())
            if rows != done:
                same = _num_same(rows, done)
                file.put(RUN, item.name, rows[same:], behind=same)
                self._written[item.name] = rows

    def _put_facts(self, file: TraceFile, facts: dict[str, Any]) -> None:
        known = self._written.setdefault("facts", {})
        changed = {name: value for name, value in facts.items() if known.get(name) != value}
        if changed:
            file.put_facts(RUN, changed)
            known.update(changed)

    def _put_source(self, file: TraceFile) -> None:
        import linecache

        script = self.session.scene.script.file
        files = [*([script] if script else []), *(f for f in user_files() if f != script)]
        rows, size = [], 0
        for name in files:
            text = "".join(linecache.getlines(name))
            size += len(text)
            if size <= MOST_SOURCE:
                rows.append(SourceRow(file=name, text=text, is_factory=name == script))
        file.put(SOURCE, "source", rows)
        file.put(SOURCE, "modules", self.session.unregistered)


def _num_same(rows: tuple[Any, ...], done: tuple[Any, ...]) -> int:
    """Return how many rows at the beginning of both are the same."""
    pairs = enumerate(zip(rows, done, strict=False))
    return next((i for i, (a, b) in pairs if a is not b and a != b), min(len(rows), len(done)))


def seen_closely(opening: Opening) -> dict[str, Trace]:
    """Return what an opening has beside its tables, by the name of the trace."""
    found = {
        FIRST_STEP: opening.first_step,
        WEIGHTS: opening.weights,
        MATRICES: opening.matrices,
        ZEROS: opening.zeros.trace,
    }
    return {name: trace for name, trace in found.items() if trace is not None}


def _put_trace(file: TraceFile, name: str, trace: Trace) -> None:
    for item in fields(trace):
        value = getattr(trace, item.name)
        if item.name == "facts":
            file.put_facts(name, value)
        elif value:
            file.put(name, item.name, (value,) if item.name == "setup" else value)
