"""What a run of a million steps leaves behind.

The steps are simulated: two optimizers, a loss, a rate and a norm each, on a clock that says a
millisecond a step. Tells the trace's size, what the process holds, and what a step costs, at
powers of ten; then what judging the whole takes.
"""

from __future__ import annotations

import math
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sheet import Sheet, show

from traindoctor.probing.registry import all_probes, all_rules
from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.archive import Archive
from traindoctor.watching.judge import Bench
from traindoctor.watching.orders import Orders
from traindoctor.watching.session import Session

STEPS = 1_000_000
MOST_BYTES = 16_000_000


class Clock:
    """Seconds of the simulated run."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sheets() -> Iterator[Sheet]:
    """Simulate, and judge."""
    columns = ("steps", "trace MB", "process MB", "µs a step")
    sheet = Sheet("A long run, simulated", columns)
    with tempfile.TemporaryDirectory() as folder:
        path, clock = Path(folder, "run.trace"), Clock()
        session = Session(Orders(script="long.py", trace=str(path), budget=0.02), clock=clock)
        session.begin()
        start, done = time.perf_counter(), 0
        for step in range(1, STEPS + 1):
            simulate(session, clock, step)
            if step >= 1000 and math.log10(step).is_integer():
                seconds = (time.perf_counter() - start) / (step - done)
                sheet.add(f"{step:,}", f"{size(path):.1f}", f"{held():.0f}", f"{1e6 * seconds:.0f}")
                start, done = time.perf_counter(), step
        session.end()
        total = size(path)
        start = time.perf_counter()
        Bench(probes=tuple(all_probes()), rules=frozenset(all_rules())).judge(
            Archive(StoredTraces(path)), "long.py"
        )
        seconds = time.perf_counter() - start
    verdict = "within" if 1e6 * total <= MOST_BYTES else "beyond"
    sheet.notes.append(f"Whole trace {total:.1f} MB, {verdict} 16 MB; judged in {seconds:.2f} s.")
    yield sheet


def simulate(session: Session, clock: Clock, step: int) -> None:
    """Let a step of each of two optimizers pass."""
    for optimizer in (0, 1):
        loss = 1.0 + 1.0 / step + 0.01 * math.sin(step)
        session.meter.batch(32, 1e-4)
        session.meter.backward(loss, 2e-4)
        clock.now += 5e-4
        session.meter.step(optimizer, clock.now, rates=(1e-3,), norm=loss, seconds=1e-4)
    session.governor.stepped()
    session.record.offer(clock.now)


def size(path: Path) -> float:
    """Return what is on disk, in MB, the write-ahead log included."""
    return sum(p.stat().st_size for p in path.parent.glob(f"{path.name}*")) / 1e6


def held() -> float:
    """Return the largest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    list(show(sheets()))
