"""What `watch` costs in each step, beside other ways of looking.

Each way takes turns with the bare loop; the ratios are medians over the rounds, so that all see the
same machine. One thread, so that the process that judges has a core of its own. TorchLens is left
out where it is not installed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.sheet import Sheet, show

HERE = Path(__file__).parent
ROUNDS = 5
PYTHON = [sys.executable]
WATCH = [*PYTHON, "-m", "traindoctor", "watch", "-q", "--exit-zero"]
PEER = "TorchLens checks"
WAYS = {
    "`watch`": (WATCH, "bare"),
    "anomaly mode": (PYTHON, "anomaly"),
    "a hook a parameter": (PYTHON, "hooks"),
    PEER: (PYTHON, "torchlens"),
}
SIZES = ("toy", "2 ms", "10 ms", "50 ms", "1 s")  # as in loop.py
LIMITS = {"toy": "1.25"}  # of the median; 1.02 / 1.05 for 10 ms and more


def step(command: list[str], size: str, how: str) -> tuple[float, ...]:
    """Return the median, the 95th percentile and the mean of a step, in milliseconds."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "loop.py", size, how],
        cwd=HERE,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(map(float, done.stdout.split()))


def _ratios(found: tuple[float, ...], bare: tuple[float, ...]) -> list[float]:
    return [a / b for a, b in zip(found, bare, strict=True)]


def sheets() -> Iterator[Sheet]:
    """Measure each way at each size."""
    ways = {name: way for name, way in WAYS.items() if name != PEER or find_spec("torchlens")}
    sheet = Sheet(
        "A step beside the bare loop",
        ("step", "bare ms", *ways, "`watch` at most"),
        notes=["Median / 95th percentile / mean, as ratios; the mean has what comes in bursts."],
    )
    for size in SIZES:
        rounds = []
        for _ in range(ROUNDS):
            bare = step(PYTHON, size, "bare")
            rounds.append((bare, {way: step(c, size, how) for way, (c, how) in ways.items()}))
        cells = []
        for way in ways:
            ratios = zip(*(_ratios(found[way], bare) for bare, found in rounds), strict=True)
            cells.append(" / ".join(f"{statistics.median(each):.2f}" for each in ratios))
        typical = statistics.median(bare[0] for bare, _ in rounds)
        sheet.add(size, f"{typical:.2f}", *cells, LIMITS.get(size, "1.02 / 1.05"))
    yield sheet


if __name__ == "__main__":
    list(show(sheets()))
