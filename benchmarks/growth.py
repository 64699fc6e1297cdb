"""How costs grow with parameters and with parameter tensors.

CPU seconds of whole processes, and their ratios to the bare passes in one run, one process at a
time. `memory` compares the largest resident size, a billion parameters being the last row (about
9 GB, some minutes).
Growth with steps is told by `benchmarks.long_run`, a million of them by default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sheet import Sheet, show

HERE = Path(__file__).parent
STEPS = "3"
PARAMETERS = ("1e5", "1e6", "1e7", "1e8")
TENSORS = ("10", "100", "1000", "10000")
LARGE = ("1e7", "1e8", "1e9")


def measured(command: list[str]) -> tuple[float, float]:
    """Run a command; return its CPU seconds and the largest resident size of its processes in MB.

    Both are asked of the system in a process of its own, whose children are this command alone; CPU
    seconds are the same whoever else uses the machine.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
    asking = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)\n"
        "sys.exit(done.returncode)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", asking, *command],
        cwd=HERE,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, size = done.stdout.split()
    return float(seconds), float(size)


def commands(parameters: str, tensors: str, checks: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield the bare passes, and what is compared with them."""
    yield "bare", [sys.executable, "plain_step.py", parameters, tensors, STEPS]
    doctor = [sys.executable, "-m", "traindoctor"]
    target = ["sized.py:setup", "--arg", f"parameters={parameters}", "--arg", f"tensors={tensors}"]
    yield "gradflow", [*doctor, "gradflow", *target, "--batches", STEPS, "--exit-zero"]
    watched = ["plain_step.py", parameters, tensors, STEPS]
    yield "watch", [*doctor, "watch", "-q", "--exit-zero", *watched]
    if checks:
        yield "check --no-restore", [*doctor, "check", *target, "--no-restore", "--exit-zero"]


def measured_at(title: str, sizes: list[tuple[str, str]], is_memory: bool = False) -> Sheet:
    """Measure each size: a value and, in brackets, its ratio to the bare passes."""
    names = [name for name, _ in commands("1", "1", is_memory)]
    unit = "MB" if is_memory else "s"
    commands_of = (f"`{name}`" for name in names[1:])
    sheet = Sheet(title, ("parameters", "tensors", f"bare {unit}", *commands_of))
    for parameters, tensors in sizes:
        found = [
            measured(command)[is_memory] for _, command in commands(parameters, tensors, is_memory)
        ]
        bare, *others = found
        cells = [f"{value:.1f} ({value / bare:.2f})" for value in others]
        sheet.add(parameters, tensors, f"{bare:.1f}", *cells)
    return sheet


def sheets() -> Iterator[Sheet]:
    """Measure growth with parameters, with tensors, and of memory."""
    seconds = f"Processor seconds of {STEPS} steps and a whole process"
    yield measured_at(f"{seconds}, by parameters", [(n, "0") for n in PARAMETERS])
    yield measured_at(f"{seconds}, by parameter tensors", [("1e6", n) for n in TENSORS])
    memory = f"Largest resident size in {STEPS} steps, by parameters"
    yield measured_at(memory, [(n, "0") for n in LARGE], is_memory=True)


if __name__ == "__main__":
    show(sheets())
