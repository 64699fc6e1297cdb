"""Watch every script, healthy and broken: `python -m tests.watch.sweep --only spirals --jobs 2`.

A healthy script is right without a finding at error or critical; a broken one with its fault as
the one root cause, at its line, or as information where the rule makes no more of it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.watch.breakages import BREAKAGES
from tests.watch.build import Breakage, Built, build
from tests.watch.catalog import ALL, SCRIPTS, Script
from tests.watch.examine import Examined, examine

Case = Script | Breakage
ROW = "{:<34} {:<12} {:<20} {:<8} {:<26} {:<6} {:>3} {:>5}  {}"


def main() -> int:
    """Watch what was asked for, print a row each as it comes, and then the count."""
    asked = arguments()
    cases = chosen(asked)
    head = ("script or edit", "verdict", "root causes", "expected", "at", "line", "rc", "s", "")
    print(ROW.format(*head))
    num_right = 0
    for case, found in outcomes(cases, asked.jobs):
        is_right = judged(case, found)
        num_right += is_right
        if not (is_right and asked.wrong):
            print(row(case, found, is_right), flush=True)
            for line in details(case, found) if asked.verbose or not is_right else ():
                print(line, flush=True)
    print(f"{num_right} of {len(cases)} are right")
    return int(num_right < len(cases))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="NAME", help="names that contain this")
    parser.add_argument("--rule", default="", help="a code or the beginning of one")
    parser.add_argument("--which", choices=("all", "faults", "healthy"), default="all")
    parser.add_argument("--wrong", action="store_true", help="print only what is not right")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-v", "--verbose", action="store_true", help="titles of all findings")
    return parser.parse_args()


def chosen(asked: argparse.Namespace) -> tuple[Case, ...]:
    """Return the scripts and breakages that were asked for."""
    healthy = ALL if asked.which != "faults" and not asked.rule else ()
    broken = BREAKAGES if asked.which != "healthy" else ()
    broken = tuple(breakage for breakage in broken if breakage.rule.startswith(asked.rule))
    return tuple(case for case in (*healthy, *broken) if asked.only in case.name)


def outcomes(cases: tuple[Case, ...], jobs: int) -> Iterator[tuple[Case, Examined | str]]:
    """Watch each case in a process of its own, some at a time, as they finish."""
    with ThreadPoolExecutor(jobs) as pool:
        pending = {pool.submit(outcome, case): case for case in cases}
        for future in as_completed(pending):
            yield pending[future], future.result()


def outcome(case: Case) -> Examined | str:
    """Watch one case; what keeps it from being watched is an outcome, too."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            if isinstance(case, Script):
                return examine(Built(case, SCRIPTS), Path(folder) / "work")
            built = build(case, Path(folder) / "scripts")
            return examine(built, Path(folder) / "work", Path(case.edited_file).name)
        except Exception as error:  # a developer wants the rest of the table all the same
            return f"{type(error).__name__}: {error}"


def judged(case: Case, found: Examined | str) -> bool:
    """Tell whether the report is what it should be."""
    if isinstance(found, str) or found.errored or found.taken_back or found.broken:
        return False
    if isinstance(case, Script):
        return not found.alarms and found.ran.status == 0
    expected = (case.rule, *case.also)
    if case.is_information:
        notes = [note for note in found.notes if note.code in expected]
        return not found.codes and any(map(found.is_at_place, notes))
    return len(found.codes) == 1 and found.codes[0] in expected and found.points_well


def row(case: Case, found: Examined | str, is_right: bool) -> str:
    """Return a line of the table."""
    expected = "-" if isinstance(case, Script) else case.rule
    mark = "" if is_right else "WRONG"
    if isinstance(found, str):
        return ROW.format(case.name, "ERROR", "", expected, "", "", "", "", found)
    place = found.roots[0].place if found.roots else "-"
    line = "-" if isinstance(case, Script) else "right" if found.points_well else "wrong"
    codes = " ".join(found.codes) or "-"
    seconds = f"{found.ran.seconds:.1f}"
    return ROW.format(
        case.name, found.verdict, codes, expected, place, line, found.ran.status, seconds, mark
    )


def details(case: Case, found: Examined | str) -> list[str]:
    """Return what a developer wants to know of a case, one line each."""
    if isinstance(found, str):
        return []
    lines = [
        f"    {root.severity:8} {root.code} {root.place}  {root.title}" for root in found.roots
    ]
    lines += [f"    symptom  {code}" for code in found.symptoms]
    lines += [f"    announced and taken back: {code}" for code in found.taken_back]
    lines += [f"    errored  {probe}" for probe in found.errored]
    lines += [f"    broken   {trouble}" for trouble in found.broken]
    if isinstance(case, Breakage) and not found.points_well:
        lines.append(f"    expected at {Path(case.edited_file).name}:{found.lines}")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
