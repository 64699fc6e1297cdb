"""What each command line over the five documented cases takes.

CPU seconds say what a command costs whoever else uses the machine; wall seconds are those of the
moment.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sheet import Sheet, show

ROOT = Path(__file__).parents[1]
LIMIT = 15.0  # wall seconds on two idle cores


def measured(command: list[str]) -> tuple[float, float]:
    """Run a command, whatever it exits with; return its wall and CPU seconds."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sheets() -> Iterator[Sheet]:
    """Measure one script after the other."""
    columns = ("script", "wall seconds", "CPU seconds", f"under {LIMIT:.0f} s")
    sheet = Sheet("`check` on the five documented cases", columns)
    for file in sorted((ROOT / "fixtures" / "documents").glob("*/*.py")):
        name = file.relative_to(ROOT)
        wall, cpu = measured([sys.executable, "-m", "traindoctor", "check", f"{name}:setup"])
        label = f"{file.parent.name}/{file.stem}"
        sheet.add(label, f"{wall:.1f}", f"{cpu:.1f}", "yes" if wall < LIMIT else "no")
    cores, busy = os.cpu_count(), os.getloadavg()[0]
    sheet.notes.append(f"{cores} cores, load {busy:.1f}.")
    yield sheet


if __name__ == "__main__":
    list(show(sheets()))
