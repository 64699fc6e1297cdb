"""What `watch` costs in each step, beside other ways of looking: `python -m benchmarks.watching`.

Each way takes turns with the bare loop; the ratios are medians over the rounds, so that all see the
same machine. One thread, so that the process that judges has a core of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROUNDS = 5
WAYS = {
    "watch": ([sys.executable, "-m", "traindoctor", "watch", "-q", "--exit-zero"], "bare"),
    "anomaly mode": ([sys.executable], "anomaly"),
    "a hook a parameter": ([sys.executable], "hooks"),
}
SIZES = ("toy", "10 ms", "50 ms")  # as in loop.py
LIMITS = {"toy": "1.25", "10 ms": "1.02 / 1.05", "50 ms": "1.02 / 1.05"}


def step(command: list[str], size: str, how: str) -> tuple[float, float]:
    """Return the median and the 95th percentile of a step, in milliseconds."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "loop.py", size, how],
        cwd=HERE,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    median, late = done.stdout.split()
    return float(median), float(late)


def main() -> None:
    """Measure and print the table."""
    table = Table(
        "step", "bare ms", *WAYS, "watch at most", title="a step: median / 95th percentile"
    )
    for size in SIZES:
        rounds = []
        for _ in range(ROUNDS):
            bare = step([sys.executable], size, "bare")
            rounds.append((bare, {way: step(c, size, how) for way, (c, how) in WAYS.items()}))
        cells = []
        for way in WAYS:
            medians = statistics.median(found[way][0] / bare[0] for bare, found in rounds)
            late = statistics.median(found[way][1] / bare[1] for bare, found in rounds)
            cells.append(f"{medians:.2f} / {late:.2f}")
        typical = statistics.median(bare[0] for bare, _ in rounds)
        table.add_row(size, f"{typical:.2f}", *cells, LIMITS[size])
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
