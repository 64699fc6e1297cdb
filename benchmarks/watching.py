"""What `watch` costs in each step, beside other ways of looking.

Each way takes turns with the bare loop; the ratios are medians over the rounds, so that all see the
same machine. One thread, so that the process that judges has a core of its own. TorchLens and
TrainCheck are left out where they are not installed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.collecting import Collecting
from benchmarks.sheet import Sheet, show

HERE = Path(__file__).parent
ROUNDS = 5
PYTHON = [sys.executable]
WATCH = [*PYTHON, "-m", "traindoctor", "watch", "-q", "--exit-zero"]
SIZES = ("toy", "2 ms", "10 ms", "50 ms", "1 s")  # as in loop.py
LIMITS = {"toy": "1.25"}  # of the median; 1.02 / 1.05 for 10 ms and more

Way = Callable[[str], tuple[float, ...]]
"""Runs the loop of a size; the median, the 95th percentile and the mean of a step, in ms."""


def step(command: list[str], how: str, size: str) -> tuple[float, ...]:
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


def _ways(folder: Path) -> dict[str, Way]:
    ways: dict[str, Way] = {
        "`watch`": partial(step, WATCH, "bare"),
        "anomaly mode": partial(step, PYTHON, "anomaly"),
        "a hook a parameter": partial(step, PYTHON, "hooks"),
    }
    if find_spec("torchlens"):
        ways["TorchLens checks"] = partial(step, PYTHON, "torchlens")
    if find_spec("traincheck"):
        ways["TrainCheck, selective"] = Collecting(folder).step
    return ways


def _ratios(found: tuple[float, ...], bare: tuple[float, ...]) -> list[float]:
    return [a / b for a, b in zip(found, bare, strict=True)]


def sheets() -> Iterator[Sheet]:
    """Measure each way at each size."""
    with TemporaryDirectory() as folder:
        yield _measured(_ways(Path(folder)))


def _measured(ways: dict[str, Way]) -> Sheet:
    sheet = Sheet(
        "A step beside the bare loop",
        ("step", "bare ms", *ways, "`watch` at most"),
        notes=["Median / 95th percentile / mean, as ratios; the mean has what comes in bursts."],
    )
    for size in SIZES:
        rounds = []
        for _ in range(ROUNDS):
            bare = step(PYTHON, "bare", size)
            rounds.append((bare, {name: run(size) for name, run in ways.items()}))
        cells = []
        for way in ways:
            ratios = zip(*(_ratios(found[way], bare) for bare, found in rounds), strict=True)
            cells.append(" / ".join(f"{statistics.median(each):.2f}" for each in ratios))
        typical = statistics.median(bare[0] for bare, _ in rounds)
        sheet.add(size, f"{typical:.2f}", *cells, LIMITS.get(size, "1.02 / 1.05"))
    return sheet


if __name__ == "__main__":
    list(show(sheets()))
