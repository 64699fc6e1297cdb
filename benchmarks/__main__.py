"""Prints what traindoctor costs, as ratios of whole processes in one run.

    make bench

Each pair of commands takes turns `ROUNDS` times; the ratio is that of the medians, so that
both see the same machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROUNDS = 5
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


def gradflow(factory: str) -> list[str]:
    """Return the command that is compared with `bare.py`."""
    return [*DOCTOR, "gradflow", f"models.py:{factory}", "--batches", "3", "--exit-zero"]


def main() -> None:
    """Measure and print the table."""
    table = Table("what", "seconds", "bare seconds", "ratio", "at most")
    imports = [*PYTHON, "-c", "import typer, rich"]
    for flag in ("--help", "--version"):
        ours, bare = versus([*DOCTOR, flag], imports)
        table.add_row(
            f"traindoctor {flag}", f"{ours:.3f}", f"{bare:.3f}", f"{ours / bare:.2f}", "1.5"
        )
    for factory, size in (("transformer", "10 M"), ("small", "1 M")):
        bare_script = [*PYTHON, "bare.py", factory, "3"]
        ours, bare = versus(gradflow(factory), bare_script)
        limit = "1.3" if factory == "transformer" else "–"
        table.add_row(
            f"gradflow, 3 batches, {size}",
            f"{ours:.2f}",
            f"{bare:.2f}",
            f"{ours / bare:.2f}",
            limit,
        )
    for factory, size, limit in (("transformer", "10 M", "60 s"), ("small", "1 M", "30 s")):
        whole = seconds([*DOCTOR, "check", f"models.py:{factory}"])
        table.add_row(f"check, {size}", f"{whole:.1f}", "–", "–", limit)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
