"""Examine the whole bank and write the table: `python -m tests.bank.scoreboard`.

What was examined is kept in a file, and a run that was ended goes on where it was. A change of
traindoctor's code begins anew; `--also DIGEST` takes what that older code found where this one was
not asked, and the page says how much that is.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.bank.build import number
from tests.bank.cases import SEEDS, Case, cases
from tests.bank.run import calm
from tests.bank.table import Row, page

ROOT = Path(__file__).parents[2]
A_PROCESS = 40  # cases: what each imports stays, and slows the next
PAGE, KEPT = ROOT / "docs" / "scoreboard.md", ROOT / "build" / "scoreboard.jsonl"


def main() -> None:
    """Examine what has not been examined yet, then write the page."""
    asked = arguments()
    seeds = SEEDS[: asked.seeds]
    found = [case for case in cases() if case.kind.startswith(asked.kind) and case.seed in seeds]
    chosen = found[:: asked.every]
    code = fingerprint()
    known = kept(KEPT, [*asked.also, code])
    left = [case for case in chosen if case.key not in known]
    print(f"{len(chosen)} cases, {len(left)} to be examined", flush=True)
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.open("a") as file:
        for count, examined_now in enumerate(examined(left, asked.jobs), start=1):
            row = examined_now | {"code": code}
            known[row["key"]] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            said = row["error"] or " ".join(row["roots"]) or "-"
            took = f"{count:5}/{len(left)} {row['seconds']:6.1f} s"
            print(f"{took}  {row['key']}  {said}", flush=True)
    rows = [known[case.key] for case in chosen]
    is_whole = asked.every == 1 and not asked.kind and len(seeds) == len(SEEDS)
    asked.output.write_text(page(rows, is_whole=is_whole))
    print(f"written to {asked.output}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--every", type=int, default=1, help="a sample: one case in so many")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="the first so many")
    parser.add_argument("--kind", default="", help="fault, pair, twin or sweep")
    parser.add_argument("--also", action="append", default=[], metavar="DIGEST")
    parser.add_argument("--output", type=Path, default=PAGE)
    return parser.parse_args()


def fingerprint() -> str:
    """Return a digest of the code that judges."""
    digest = hashlib.sha256()
    for file in sorted((*ROOT.glob("src/**/*.py"), *ROOT.glob("probes/**/*.py"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def kept(file: Path, codes: Sequence[str]) -> dict[str, Row]:
    """Return what these codes have found before, by the case's key; the last one's counts."""
    lines = file.read_text().splitlines() if file.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]  # the last may be cut off
    return {row["key"]: row for code in codes for row in rows if row["code"] == code}


def examined(left: Sequence[Case], jobs: int) -> Iterator[Row]:
    """Yield what is found, in fresh processes of one torch thread each, as they finish.

    These may have workers of their own, which those of `multiprocessing.Pool` may not.
    """
    context = multiprocessing.get_context("spawn")
    for start in range(0, len(left), jobs * A_PROCESS):
        part = left[start : start + jobs * A_PROCESS]
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=calm) as pool:
            for future in as_completed([pool.submit(examine, case) for case in part]):
                yield future.result()


def examine(case: Case) -> Row:
    """Examine one case; an error of traindoctor's own is an outcome, too."""
    start = time.perf_counter()
    row: Row = {
        "key": case.key,
        "kind": case.kind,
        "name": case.name,
        "rule": case.rule,
        "model": case.model,
        "seed": case.seed,
        "is_held_out": case.is_held_out,
        "roots": [],
        "symptoms": [],
        "alarms": [],
        "line": None,
        "lines": [],
        "error": "",
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        try:
            row |= _found(case, Path(folder))
        except Exception as error:  # whatever traindoctor raises is a miss, and is named
            row["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    return row | {"seconds": round(time.perf_counter() - start, 2)}


def _found(case: Case, folder: Path) -> dict[str, Any]:
    import traindoctor
    from traindoctor.target.reference import load

    if case.kind == "sweep":
        from tests.zoo.catalog import named

        report = traindoctor.check(named(case.name).build())
    else:
        file = folder / f"{case.name.lower().replace('-', '_').replace('+', '_')}.py"
        file.write_text(case.text)
        report = traindoctor.check(load(f"{file}:{case.factory}", {}), options=case.options)
    judged = [f for f in report.findings if f.severity != "info"]
    roots = [f for f in judged if f.role == "root-cause"]
    errored = [probe for probe in report.probes if probe.status == "errored"]
    return {
        "roots": [f.code for f in roots],
        "symptoms": [f.code for f in judged if f.role == "symptom"],
        "alarms": [f.code for f in judged if f.severity != "warning"],
        "line": roots[0].location.line if roots else None,
        "lines": [number(case.text, line) for line in case.lines],
        "error": "; ".join(f"{probe.name}: {probe.reason}" for probe in errored),
    }


if __name__ == "__main__":
    main()
