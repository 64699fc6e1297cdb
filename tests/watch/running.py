"""Runs a script as its author would: a fresh interpreter, one thread, an empty workplace."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.watch.catalog import Script

TIMEOUT = 120


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a run.

    Attributes:
        status: exit status.
        printed: stdout, and stderr after it.
        seconds: of wall time.
    """

    status: int
    printed: str
    seconds: float

    @property
    def last_words(self) -> str:
        """The last line that was printed."""
        lines = self.printed.strip().splitlines()
        return lines[-1] if lines else ""


def run(script: Script, folder: Path, workplace: Path, prefix: Sequence[str] = ()) -> Ran:
    """Run a script that stands in a folder, from an empty workplace.

    `prefix` goes between the interpreter and the script: `-m traindoctor watch`.
    """
    workplace.mkdir(parents=True, exist_ok=True)
    words = [script.name] if script.is_module else [str(folder / script.file)]
    if script.is_module and not prefix:
        words = ["-m", *words]
    paths = [str(folder)] if script.is_module else []
    paths += [path for path in (os.environ.get("PYTHONPATH", "") if prefix else "",) if path]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *prefix, *words, *script.arguments],
        cwd=workplace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    seconds = time.perf_counter() - start
    return Ran(done.returncode, done.stdout + done.stderr, seconds)
