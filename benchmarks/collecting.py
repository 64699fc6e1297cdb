"""Runs the loop under TrainCheck's selective collection.

TrainCheck infers invariants from a run that is known to be right, and then collects only what these
need: a short run of the toy loop is that reference, as its own documentation has it. It rewrites
the script, so it is started by its own command, and what the loop prints comes among its words.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).parent / "loop.py"
TOOLS = Path(sys.executable).parent
REFERENCE_STEPS = 12
_TIMES = re.compile(rb"(\d+\.\d+) (\d+\.\d+) (\d+\.\d+)")


class Collecting:
    """The loop as TrainCheck collects from it.

    Args:
        folder: empty; takes the invariants and what is collected.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(LOOP, folder)
        self._collect("toy", "reference", str(REFERENCE_STEPS))
        self._run("traincheck-infer", "--trace-folders", "reference")

    def step(self, size: str) -> tuple[float, ...]:
        """Return the median, the 95th percentile and the mean of a step, in milliseconds."""
        told = self._collect(size, "collected", "", "--invariants", "invariants.json")
        shutil.rmtree(self.folder / "collected")
        found = _TIMES.search(told)
        if found is None:
            raise RuntimeError(f"the loop's times are not in {told[-500:]!r}")
        return tuple(map(float, found.groups()))

    def _collect(self, size: str, output: str, steps: str, *options: str) -> bytes:
        start = self.folder / "start.sh"
        start.write_text(f"{sys.executable} {LOOP.name} '{size}' bare {steps}\n")
        given = ("--pyscript", LOOP.name, "--shscript", start.name, "--output-dir", output)
        return self._run("traincheck-collect", *given, "--models-to-track", "net", *options)

    def _run(self, command: str, *arguments: str) -> bytes:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [TOOLS / command, *arguments],
            cwd=self.folder,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).stdout
