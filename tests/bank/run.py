"""Try the planted faults and print what is found: `python -m tests.bank.run --rule TD2`."""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.bank.build import FACTORIES, Edit, build
from tests.bank.edits import FAULTS, NEAR_MISSES
from tests.bank.examine import Examined, examine

HEALTHY = (
    *(
        Edit("base", name, (), way)
        for name in ("mlp", "cnn", "gru", "transformer")
        for way in FACTORIES
    ),
    *NEAR_MISSES,
)
Outcome = tuple[Examined | str, float]  # what was found or why nothing was, and the seconds it took
ROW = "{:<6} {:<12} {:<11} {:<10} {:<22} {:<26} {:<9} {:>5}  {}"


def main() -> None:
    """Try what was asked for, print a row each as it comes, and then the count."""
    asked = arguments()
    faults = chosen(FAULTS, asked) if asked.which != "healthy" else ()
    healthy = chosen(HEALTHY, asked) if asked.which != "faults" else ()
    print(ROW.format("rule", "program", "factory", "verdict", "roots", "symptoms", "line", "s", ""))
    num_right = 0
    for edit, (found, seconds) in outcomes((*faults, *healthy), asked.jobs):
        is_right = not isinstance(found, str) and (
            found.verdict == "healthy" if edit in healthy else found.is_right(edit)
        )
        num_right += is_right
        if not (is_right and asked.wrong):
            print(row(edit, found, seconds, is_right), flush=True)
    print(f"{num_right} of {len(faults) + len(healthy)} are right")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rule", default="", help="a code or the beginning of one")
    parser.add_argument("--program", default="", help="mlp, cnn, gru or transformer")
    parser.add_argument("--which", choices=("all", "faults", "healthy"), default="all")
    parser.add_argument("--wrong", action="store_true", help="print only what is not right")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


def chosen(edits: tuple[Edit, ...], asked: argparse.Namespace) -> tuple[Edit, ...]:
    """Return the edits that were asked for."""
    return tuple(
        edit
        for edit in edits
        if edit.rule.startswith(asked.rule) and edit.program.startswith(asked.program)
    )


def outcomes(edits: tuple[Edit, ...], jobs: int) -> Iterator[tuple[Edit, Outcome]]:
    """Examine each edit in a pool of fresh processes, one torch thread each, as they finish."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=calm) as pool:
        pending = {pool.submit(outcome, edit): edit for edit in edits}
        for future in as_completed(pending):
            yield pending[future], future.result()


def calm() -> None:
    """Keep a worker to one thread."""
    import torch

    torch.set_num_threads(1)


def outcome(edit: Edit) -> Outcome:
    """Examine one edit; an error of traindoctor's own is an outcome, too."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        try:
            found: Examined | str = examine(build(edit, Path(folder)))
        except Exception:  # whatever traindoctor raises is what a developer wants to see here
            found = " | ".join(traceback.format_exc().strip().splitlines()[-3:])
    return found, time.perf_counter() - start


def row(edit: Edit, found: Examined | str, seconds: float, is_right: bool) -> str:
    """Return a line of the table."""
    took = f"{seconds:.1f}"
    if isinstance(found, str):
        return ROW.format(edit.rule, edit.program, edit.factory, "ERROR", "", "", "", took, found)
    roots, symptoms = " ".join(found.roots) or "-", " ".join(found.symptoms) or "-"
    line = f"{found.line or '-'}" + ("" if found.points_well else f" not {found.lines[0]}")
    mark = "" if is_right else "WRONG"
    return ROW.format(
        edit.rule, edit.program, edit.factory, found.verdict, roots, symptoms, line, took, mark
    )


if __name__ == "__main__":
    main()
