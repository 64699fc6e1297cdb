"""How costs grow with parameters and with parameter tensors.

Processor time of whole processes, one at a time: that of many steps less that of few, so that what
is paid once does not count. A billion parameters take about 9 GB and some minutes. Growth
with steps is told by `long_run`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sheet import Sheet, show

HERE = Path(__file__).parent
FEW, MANY = 10, 40  # steps; what is paid once is in both, and not in their difference
PARAMETERS = ("1e5", "1e6", "1e7", "1e8")
TENSORS = ("10", "100", "1000", "10000")
PER_STEP = ("gradflow", "watch")
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


def commands(parameters: str, tensors: str, steps: int = 3) -> dict[str, list[str]]:
    """Return the bare passes, and what is compared with them."""
    passes = ["plain_step.py", parameters, tensors, str(steps)]
    doctor = [sys.executable, "-m", "traindoctor"]
    target = ["sized.py:setup", "--arg", f"parameters={parameters}", "--arg", f"tensors={tensors}"]
    return {
        "bare": [sys.executable, *passes],
        "gradflow": [*doctor, "gradflow", *target, "--batches", str(steps), "--exit-zero"],
        "watch": [*doctor, "watch", "-q", "--exit-zero", *passes],
        "check --no-restore": [*doctor, "check", *target, "--no-restore", "--exit-zero"],
    }


def a_step(parameters: str, tensors: str) -> Iterator[str]:
    """Yield the bare processor milliseconds of a step, and the ratios of `PER_STEP` to them."""
    few, many = (commands(parameters, tensors, steps) for steps in (FEW, MANY))
    bare, *others = (
        1e3 * (measured(many[name])[0] - measured(few[name])[0]) / (MANY - FEW)
        for name in ("bare", *PER_STEP)
    )
    yield f"{bare:.1f}"
    yield from (f"{value / bare:.2f}" for value in others)


def most_held(parameters: str) -> Iterator[str]:
    """Yield the largest resident size of three bare steps, and of the commands with its ratio."""
    bare, *others = (measured(command)[1] for command in commands(parameters, "0").values())
    yield f"{bare:,.0f}"
    yield from (f"{value:,.0f} ({value / bare:.2f})" for value in others)


def sheets() -> Iterator[Sheet]:
    """Measure growth with parameters, with tensors, and of memory."""
    ratios = ("bare ms", *(f"`{name}`" for name in PER_STEP))
    title = "Processor time of a step, as ratios to the bare one"
    sheet = Sheet(f"{title}, by parameters", ("parameters", *ratios))
    for number in PARAMETERS:
        sheet.add(number, *a_step(number, "0"))
    yield sheet
    sheet = Sheet(f"{title}, by parameter tensors", ("tensors", *ratios))
    for number in TENSORS:
        sheet.add(number, *a_step("1e6", number))
    yield sheet
    columns = ("parameters", "bare MB", *(f"`{name}`" for name in list(commands("1", "1"))[1:]))
    sheet = Sheet("Largest resident size in 3 steps", columns)
    for number in LARGE:
        sheet.add(number, *most_held(number))
    yield sheet


if __name__ == "__main__":
    list(show(sheets()))
