"""What the commands cost, as ratios of whole processes in one run.

Each pair of commands takes turns `ROUNDS` times; the ratio is that of the medians, so that
both see the same machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sheet import Sheet, show

HERE = Path(__file__).parent
ROUNDS = 5
FLAGS = ("--help", "--version")
PYTHON = [sys.executable]
DOCTOR = [sys.executable, "-m", "traindoctor"]


def seconds(command: list[str]) -> float:
    """Run a command and return its wall time in seconds; it must end with 0."""
    start = time.perf_counter()
    threads = {"OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    environment = os.environ | {"PYTHONPATH": str(HERE), "HF_HUB_OFFLINE": "1"} | threads
    subprocess.run(command, cwd=HERE, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def versus(command: list[str], bare: list[str], rounds: int = ROUNDS) -> tuple[float, float]:
    """Return the median seconds of a command and of what it is compared with, taken in turns."""
    pairs = [(seconds(command), seconds(bare)) for _ in range(rounds)]
    return (
        statistics.median(ours for ours, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
    )


def sheets() -> Iterator[Sheet]:
    """Measure the commands against the bare passes that they need."""
    sheet = Sheet("The commands", ("what", "seconds", "bare seconds", "ratio", "at most"))
    imports = [*PYTHON, "-c", "import typer, rich"]
    pairs = [(f"`traindoctor {flag}`", [*DOCTOR, flag], imports, "1.5") for flag in FLAGS]
    for factory, size in (("transformer", "10 M"), ("small", "1 M")):
        bare = [*PYTHON, "bare.py", factory]
        passes = [f"models.py:{factory}", "--batches", "3", "--exit-zero"]
        limit = "1.3" if factory == "transformer" else "–"
        name = f"`gradflow`, 3 batches, {size} parameters"
        pairs.append((name, [*DOCTOR, "gradflow", *passes], [*bare, "3"], limit))
    for name, command, bare, limit in pairs:
        ours, theirs = versus(command, bare)
        sheet.add(name, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}", limit)
    for factory, size, limit in (("small", "1 M", "30 s"), ("transformer", "10 M", "60 s")):
        whole = seconds([*DOCTOR, "check", f"models.py:{factory}"])
        sheet.add(f"`check`, {size} parameters", f"{whole:.1f}", "–", "–", limit)
    yield sheet


if __name__ == "__main__":
    list(show(sheets()))
