"""How many instructions a step takes, bare and watched: what a noisy machine cannot blur.

Counted by valgrind, which has to be installed (Debian's package); without it there is no table. A
step's are the difference of a long and a short run, so that imports and first steps are left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.sheet import Sheet, show

from traindoctor.codec import dumps
from traindoctor.watching.orders import Orders

HERE = Path(__file__).parent
FEW, MANY = 400, 800  # steps; from the 256th on a plain loop is calm
COUNTER = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")
WATCHED = "`watch`"
WAYS = {  # as in loop.py
    "bare": "bare",
    WATCHED: "bare",
    "anomaly mode": "anomaly",
    "a hook a parameter": "hooks",
}


def sheets() -> Iterator[Sheet]:
    """Count the instructions of a step of the toy, in each way."""
    if shutil.which(COUNTER[0]) is None:
        return
    sheet = Sheet(
        "Instructions a step of the toy",
        ("way", "million", "ratio"),
        notes=[
            f"Of steps {FEW} to {MANY}, one thread; snapshots, which go by the clock, left out."
        ],
    )
    bare = 0.0
    for way in WAYS:
        found = _a_step(way)
        bare = bare or found
        sheet.add(way, f"{found / 1e6:.2f}", f"{found / bare:.2f}")
    yield sheet


def _a_step(way: str) -> float:
    return (_total(way, MANY) - _total(way, FEW)) / (MANY - FEW)


def _total(way: str, num_steps: int) -> int:
    """Return the instructions of a run."""
    script, arguments = "counted.py", ("toy", WAYS[way], str(num_steps))
    with TemporaryDirectory() as folder:
        orders = Orders(script=script, arguments=arguments, trace=f"{folder}/run.trace")
        watched = ("-m", "traindoctor.watching", dumps(orders))
        done = subprocess.run(
            [*COUNTER, sys.executable, *(watched if way == WATCHED else (script, *arguments))],
            cwd=HERE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            check=True,
            capture_output=True,
            text=True,
        )
    found = TOTAL.search(done.stderr)
    assert found is not None, done.stderr
    return int(found[1].replace(",", ""))


if __name__ == "__main__":
    list(show(sheets()))
