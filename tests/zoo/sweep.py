"""Examine every healthy specimen: `python -m tests.zoo.sweep [--quick] [--only NAME] [--jobs 2]`.

Whatever traindoctor finds here at warning or above is a false alarm.
"""

from __future__ import annotations

import argparse
import time
import traceback
from collections import Counter

from tests.zoo.catalog import SPECIMENS, missing, named
from tests.zoo.pool import Row, in_pool

ALARMS = ("critical", "error")


def examine(name: str) -> Row:
    """Return the verdict on one specimen, what was found, and how long it took."""
    import traindoctor

    target = named(name).build()
    start = time.perf_counter()
    try:
        report = traindoctor.check(target)
    except Exception:
        found = [("crash", "error", traceback.format_exc(limit=-3).strip())]
        return {"name": name, "verdict": "crashed", "found": found, "seconds": 0.0}
    found = [(f.code, str(f.severity), f.title) for f in report.findings]
    errored = [(p.name, "error", p.reason) for p in report.probes if p.status == "errored"]
    return {
        "name": name,
        "verdict": str(report.verdict),
        "found": found + errored,
        "seconds": time.perf_counter() - start,
    }


def printed(row: Row, verbose: bool) -> str:
    """Return one line per specimen, and one per finding."""
    lines = [f"{row['verdict']:12} {row['seconds']:6.1f} s  {row['name']}"]
    for code, severity, title in row["found"]:
        if verbose or severity != "info":
            lines.append(f"    {severity:8} {code}  {title}")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """Return the counts of false alarms and warnings, by code."""
    lines = []
    for what, severities in (("false alarms", ALARMS), ("warnings", ("warning",))):
        codes = [
            code for row in rows for code, severity, _ in row["found"] if severity in severities
        ]
        ill = sum(any(s in severities for _, s, _ in row["found"]) for row in rows)
        lines.append(f"{what}: {len(codes)} on {ill} of {len(rows)} specimens")
        lines.extend(f"    {number:4} {code}" for code, number in Counter(codes).most_common())
    unhealthy = sum(row["verdict"] != "healthy" for row in rows)
    seconds = sorted(row["seconds"] for row in rows)
    lines.append(f"not healthy: {unhealthy} of {len(rows)}")
    if seconds:
        lines.append(f"seconds: median {seconds[len(seconds) // 2]:.1f}, longest {seconds[-1]:.1f}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only what the normal tests run")
    parser.add_argument("--only", default="", metavar="NAME", help="names that contain this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-v", "--verbose", action="store_true", help="show information too")
    options = parser.parse_args()
    names = [
        s.name
        for s in SPECIMENS
        if options.only in s.name and not (options.quick and s.slow) and not missing(s)
    ]
    rows = []
    for row in in_pool(examine, names, options.jobs):
        rows.append(row)
        print(printed(row, options.verbose), flush=True)
    print(summary(rows))
    return int(any(row["verdict"] != "healthy" for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
