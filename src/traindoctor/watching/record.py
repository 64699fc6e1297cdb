"""Writes what a session has seen to the trace on disk, from a thread of its own."""

from __future__ import annotations

import os
import threading
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.handled import HandledWatch
from traindoctor.target.source import user_files
from traindoctor.trace import SourceRow, Trace
from traindoctor.trace.storage import TraceFile
from traindoctor.watching.opening import losses

if TYPE_CHECKING:
    from traindoctor.watching.opening import Opening
    from traindoctor.watching.session import Session

FLUSH_SECONDS = 0.5
# What traces are called: as the experiments whose place they take.
RUN, FIRST_STEP, WEIGHTS, SOURCE = "run", "one-step", "read-weights", "read-source"
POST_MORTEM = "locate-non-finite"
# Tables that only grow, by what was written of them already.
GROWING = ("backwards", "steps", "gradients", "updates", "batches", "graphs", "exceptions")
WHOLE = ("warnings", "evaluations")
MOST_SOURCE = 2_000_000  # characters of the user's files


class Record:
    """What is on disk of a run. Written twice a second, and at its end."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.file: TraceFile | None = None
        self._written: dict[str, int] = {}
        self._last: dict[str, Any] = {}
        self._generation = -1
        self._closed: Trace | None = None  # the opening's tables, once it is over
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def begin(self, path: Path) -> None:
        """Open the file and start writing."""
        self.file = TraceFile(path)
        orders = self.session.orders
        self.file.put_facts(
            RUN,
            {
                "process": os.getpid(),
                "state": "running",
                "reference": orders.script,
                "verify": orders.verify,
            },
        )
        threading.Thread(target=self._write_on, name="traindoctor-record", daemon=True).start()

    def opening_closed(self, opening: Opening) -> None:
        """Take over an opening's tables and let go of what it held."""
        self._closed = opening.trace(is_over=True)
        with self._lock:
            self._write_opening(opening)
        opening.close()

    def flush(self) -> None:
        """Write what is new."""
        with self._lock:
            self._flush()

    def end(self, state: str) -> None:
        """Write everything and close the file."""
        if self.file is None:
            return
        self._is_over.set()
        with self._lock:
            self._flush()
            self._put_facts({"state": state})
            self._put_source()
            if self.file is not None:
                self.file.close()
            self.file = None

    def forget(self) -> None:
        """Have nothing to do with the file any more: this is a forked child."""
        self.file, self._lock = None, threading.Lock()
        self._is_over.set()

    def _write_on(self) -> None:
        while not self._is_over.wait(FLUSH_SECONDS):
            self.flush()

    def _flush(self) -> None:
        if self.file is None:
            return
        session = self.session
        try:
            opening = session.opening
            if opening is not None:
                self._write_opening(opening)
            recorder = session.recorder
            for table in GROWING:
                self._append(RUN, table, list(getattr(recorder, table)))
            self._append(RUN, "losses", losses(recorder))
            for table in WHOLE:
                self._replace(RUN, table, tuple(getattr(recorder, table)))
            handled: HandledWatch = session.handled
            self._replace(RUN, "handled", handled.rows())
            self._replace(RUN, "hooks", tuple(hook.row() for hook in session.hooks.hooks))
            self._replace(RUN, "counts", tuple(handled.count_rows()))
            found = session.incidents.trace
            if found is not None and self._last.get(POST_MORTEM) is not found:
                self._last[POST_MORTEM] = found
                self._put_trace(POST_MORTEM, found)
            self._put_pulses()
            self._put_facts(self._facts())
        except OSError as error:
            self.file = None
            session.trouble("writing the trace", error)
        except RuntimeError:  # a table grew while it was read: the next flush has it
            return

    def _write_opening(self, opening: Opening) -> None:
        if self.file is None:
            return
        tables = self._closed or opening.trace()
        for table in ("setup", "parameters", "modules", "optimizers"):
            value = getattr(tables, table)
            self._replace(RUN, table, (value,) if table == "setup" else value)
        self._put_facts(tables.facts)
        for name, trace in ((FIRST_STEP, opening.first_step), (WEIGHTS, opening.weights)):
            if trace is not None and self._last.get(name) is not trace:
                self._last[name] = trace
                self._put_trace(name, trace)

    def _put_trace(self, name: str, trace: Trace) -> None:
        assert self.file is not None
        for item in fields(trace):
            value = getattr(trace, item.name)
            if item.name == "facts":
                self.file.put_facts(name, value)
            elif value:
                self.file.put(name, item.name, (value,) if item.name == "setup" else value)

    def _append(self, trace: str, table: str, rows: list[Any]) -> None:
        done = self._written.get(table, 0)
        if self.file is not None and len(rows) > done:
            self.file.put(trace, table, rows[done:], append=True)
            self._written[table] = len(rows)

    def _replace(self, trace: str, table: str, rows: tuple[Any, ...]) -> None:
        if self.file is not None and self._last.get(table) != rows:
            self.file.put(trace, table, rows)
            self._last[table] = rows

    def _put_pulses(self) -> None:
        """Append what is new; write all again where neighbours have become one."""
        meter = self.session.meter
        if self.file is None:
            return
        if meter.generation != self._generation:
            self._generation = meter.generation
            self._written = {k: v for k, v in self._written.items() if not k.startswith("pulses")}
            self.file.put(RUN, "pulses", ())
        for number, rows in list(meter.rows.items()):
            done = self._written.get(f"pulses {number}", 0)
            if len(rows) > done:
                self.file.put(RUN, "pulses", rows[done:], append=True)
                self._written[f"pulses {number}"] = len(rows)

    def _facts(self) -> dict[str, Any]:
        session = self.session
        return {
            "num_steps": sum(session.meter.num_steps.values()),
            "num_batches": session.recorder.batch + 1,
            "num_passes": session.recorder.num_passes,
            "num_forwards": session.num_forwards,
            "lost_batches": list(session.lost),
            "overhead": session.governor.facts(),
            "troubles": list(session.troubles),
        }

    def _put_facts(self, facts: dict[str, Any]) -> None:
        changed = {
            name: value for name, value in facts.items() if self._last.get(f"fact {name}") != value
        }
        if self.file is not None and changed:
            self.file.put_facts(RUN, changed)
            self._last |= {f"fact {name}": value for name, value in changed.items()}

    def _put_source(self) -> None:
        import linecache

        if self.file is None:
            return
        script = self.session.scene.script.file
        files = [*([script] if script else []), *(f for f in user_files() if f != script)]
        rows, size = [], 0
        for name in files:
            text = "".join(linecache.getlines(name))
            size += len(text)
            if size <= MOST_SOURCE:
                rows.append(SourceRow(file=name, text=text, is_factory=name == script))
        self.file.put(SOURCE, "source", rows)
