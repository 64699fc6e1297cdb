"""Notes once a second, from a thread of its own, where the script's thread is and if it acts."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traindoctor.instruments.call_log import CallLog
from traindoctor.target.patches import Notes
from traindoctor.target.usercode import user_place

TICK_SECONDS = 1.0
BUSY = 0.02  # share of a core that is more than watching takes
LEAST_SWITCHES = 2  # by which a thread that reads or waits for short is told from one that stands


class Activity:
    """Tells whether a process has done anything since it was last asked.

    It did where its main thread is at another line, or gave up its core and came back, or where the
    process or one that it started has computed.
    """

    def __init__(self) -> None:
        self.status = Path(f"/proc/self/task/{threading.get_native_id()}/status")
        self.line: tuple[int, int] = (0, 0)
        self.seconds = self.time = self.switches = self.children = 0.0

    def is_there(self, line: tuple[int, int]) -> bool:
        """Tell it; True where the system does not say."""
        now, used = time.monotonic(), time.process_time()
        limit = BUSY * (now - self.time)
        switches = _switches(self.status)
        is_active = (
            line != self.line
            or used - self.seconds > limit
            or switches is None
            or switches - self.switches >= LEAST_SWITCHES
        )
        children = 0.0 if is_active else _seconds_of_children(os.getpid())
        is_active = is_active or abs(children - self.children) > limit
        self.line, self.time, self.seconds = line, now, used
        self.switches, self.children = switches or 0, children
        return is_active


class WhereaboutsThread:
    """Writes into the log of the thread in which it is made.

    Args:
        notes: guard what is noted.
        log: takes it.
    """

    def __init__(self, notes: Notes, log: CallLog) -> None:
        self.notes, self.log = notes, log
        self.activity = Activity()
        self.watched = threading.get_ident()
        self.is_over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Write while inside."""
        threading.Thread(target=self._write_on, name="traindoctor-where", daemon=True).start()
        try:
            yield
        finally:
            self.is_over.set()

    def _write_on(self) -> None:
        while not self.is_over.wait(TICK_SECONDS):
            self.notes(self._write)

    def _write(self) -> None:
        frame = sys._current_frames().get(self.watched)
        if frame is not None:
            line = id(frame.f_code), frame.f_lasti
            self.log.is_at(user_place(frame), is_active=self.activity.is_there(line))


def _switches(status: Path) -> int | None:
    """Return how often a thread has given up its core by itself."""
    try:
        text = status.read_text()
    except OSError:
        return None
    _, found, rest = text.partition("\nvoluntary_ctxt_switches:")
    return int(rest.split()[0]) if found else None


def _seconds_of_children(process: int) -> float:
    """Return the processor time of what a process has started, and of what that has."""
    parents: dict[int, list[tuple[int, int]]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            numbers = path.read_text().rpartition(")")[2].split()
        except OSError:  # it is over
            continue
        ticks = int(numbers[11]) + int(numbers[12])
        parents.setdefault(int(numbers[1]), []).append((int(path.parent.name), ticks))
    total, waiting = 0, [process]
    while waiting:
        for child, ticks in parents.get(waiting.pop(), []):
            total += ticks
            waiting.append(child)
    return total / os.sysconf("SC_CLK_TCK")
