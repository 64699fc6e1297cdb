"""What `overfit` and `check` take beside the passes of the model that they need.

A run counts the passes of its model, with a gradient and without, and the optimizer's steps. It is
compared with as many of each on whole batches.
`python passes.py COMMAND FACTORY` measures one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.sheet import Sheet, show

HERE = Path(__file__).parent
CASES = (("overfit", "small"), ("check", "small"), ("check", "transformer"))
SIZES = {"small": "1 M", "transformer": "10 M"}
REPEATS = 10


def sheets() -> Iterator[Sheet]:
    """Measure each command in a process of its own."""
    columns = ("command", "seconds", "passes", "without gradient", "steps", "bare seconds", "ratio")
    sheet = Sheet("The commands beside the passes that they need", columns)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE)])
    for command, factory in CASES:
        words = [sys.executable, str(HERE / "passes.py"), command, factory]
        told = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
        ours, *counts, bare = told.stdout.splitlines()[-1].split()
        ratio = f"{float(ours) / float(bare):.2f}"
        name = f"`{command}`, {SIZES[factory]} parameters"
        sheet.add(name, ours, *counts, bare, ratio)
    yield sheet


def measure(command: str, factory: str) -> None:
    """Examine a setup, count, and time the same number of bare passes."""
    import models
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    import traindoctor

    counts: Counter[str] = Counter()
    setup = getattr(models, factory)()
    model = setup["model"]
    kind = type(model)

    class Counted(kind):  # type: ignore[misc, valid-type]  # whatever the factory builds
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            counts["gradient" if torch.is_grad_enabled() else "plain"] += 1
            return super().forward(*args, **kwargs)

    model.__class__ = Counted
    setup["optimizer"] = optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    stepping = register_optimizer_step_post_hook(lambda *_: counts.update(("steps",)))
    start = time.perf_counter()
    traindoctor.check(setup, select=("TD601",) if command == "overfit" else ("ALL",))
    ours = time.perf_counter() - start
    stepping.remove()
    seen, batch = dict(counts), next(iter(setup["loader"]))

    def plain() -> None:
        with torch.no_grad():
            model(**batch)

    def learning() -> None:
        model(**batch).loss.backward()

    bare = (
        seen.get("gradient", 0) * seconds(learning)
        + seen.get("plain", 0) * seconds(plain)
        + seen.get("steps", 0) * seconds(optimizer.step)
    )
    told = (seen.get(name, 0) for name in ("gradient", "plain", "steps"))
    print(f"{ours:.1f}", *told, f"{bare:.1f}")


def seconds(call: Callable[[], Any]) -> float:
    """Return what a call takes, as the mean of some after a first."""
    call()
    start = time.perf_counter()
    for _ in range(REPEATS):
        call()
    return (time.perf_counter() - start) / REPEATS


if __name__ == "__main__":
    measure(*sys.argv[1:]) if len(sys.argv) > 1 else list(show(sheets()))
