"""The scoreboard's page, from what was found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.bank.sense import MAKES_SENSE_FOR

Row = dict[str, Any]
Test = Callable[[Row], bool]
AIMS = {
    "detected": 0.98,
    "root cause exact": 0.95,
    "exactly the root causes planted": 0.95,
    "line right": 0.95,
}


def planted(row: Row) -> list[str]:
    """Return the codes of the faults that a program has."""
    return sorted(row["rule"].split("+"))


TESTS: dict[str, Test] = {
    "detected": lambda row: bool(row["roots"]),
    "root cause exact": lambda row: set(planted(row)) <= set(row["roots"]),
    "exactly the root causes planted": lambda row: planted(row) == sorted(row["roots"]),
    "line right": lambda row: row["line"] in row["lines"],
}


def page(rows: Sequence[Row], *, is_whole: bool) -> str:
    """Return the Markdown."""
    parts = {
        "seen while thresholds were set": [row for row in rows if not row["is_held_out"]],
        "held out": [row for row in rows if row["is_held_out"]],
    }
    seeds = len({row["seed"] for row in rows})
    codes = Counter(row["code"] for row in rows)
    older = ", ".join(f"{number:,} by {code}" for code, number in codes.most_common()[1:])
    sample = "" if is_whole else "\nThis is a sample, not the whole bank.\n"
    sections = [
        "# Scoreboard",
        "What `make scoreboard` finds in programs with one planted fault or two, in their healthy "
        f"twins, and in the healthy programs of the zoo: {len(rows):,} of them, each fault planted "
        f"under {seeds} {'seed' if seeds == 1 else 'seeds'}. A third of the programs, chosen by a "
        "hash of their names, is held out: no threshold is set by them.\n" + sample,
        f"Found by the code with digest {codes.most_common(1)[0][0]}{older and f'; {older}'}.",
        "## Faults",
        _faults(parts),
        "## Healthy programs",
        _healthy(parts),
        "## By rule",
        _by_rule([row for row in rows if row["kind"] == "fault"]),
        "## What is not right",
        _wrong(rows),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _head(parts: Iterable[str]) -> list[str]:
    names = ["", "aim", *parts]
    return ["| " + " | ".join(names) + " |", "| --- " * len(names) + "|"]


def _faults(parts: dict[str, list[Row]]) -> str:
    lines = _head(parts)
    for kind, title in (("fault", "one fault"), ("pair", "two faults")):
        for name, test in TESTS.items():
            shares = [_share(_asked(name, rows, kind), test) for rows in parts.values()]
            aim = f"{AIMS[name]:.0%}"
            lines.append(f"| {title}: {name} | ≥ {aim} |" + "".join(f" {one} |" for one in shares))
    return "\n".join(lines)


def _asked(test: str, rows: Iterable[Row], kind: str) -> list[Row]:
    """Return the rows that a test is for: a line is asked for where one is the culprit."""
    return [row for row in rows if row["kind"] == kind and (test != "line right" or row["lines"])]


def _healthy(parts: dict[str, list[Row]]) -> str:
    lines = _head(parts)
    for kind, title in (("twin", "healthy twins"), ("sweep", "the zoo")):
        for name, aim, test in (
            ("with an error or worse", "0", lambda row: bool(row["alarms"])),
            ("with a warning", "≤ 2%", lambda row: bool(row["roots"]) and not row["alarms"]),
        ):
            of_kind = [[row for row in rows if row["kind"] == kind] for rows in parts.values()]
            shares = [_share(rows, test) for rows in of_kind]
            lines.append(f"| {title} {name} | {aim} |" + "".join(f" {one} |" for one in shares))
    return "\n".join(lines)


def _share(rows: Sequence[Row], test: Test) -> str:
    number = sum(map(test, rows))
    return f"{number} of {len(rows)} ({number / len(rows):.1%})" if rows else "–"


def _by_rule(rows: Sequence[Row]) -> str:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["rule"]].append(row)
    heads = "| rule | models | programs × seeds | exactly it | line right | makes sense for |"
    lines = [heads, "| --- " * 6 + "|"]
    for rule, its in sorted(groups.items()):
        models = ", ".join(sorted({row["model"] for row in its}))
        right = sum(map(TESTS["exactly the root causes planted"], its))
        asked = _asked("line right", its, "fault")
        line = f"{sum(map(TESTS['line right'], asked))} of {len(asked)}" if asked else "–"
        sense = MAKES_SENSE_FOR.get(rule, "any model")
        lines.append(f"| {rule} | {models} | {len(its)} | {right} | {line} | {sense} |")
    return "\n".join(lines)


def _wrong(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        is_sick = row["kind"] in ("fault", "pair")
        right = TESTS["exactly the root causes planted"](row) if is_sick else not row["roots"]
        points = not (is_sick and row["lines"]) or TESTS["line right"](row)
        if right and points and not row["error"]:
            continue
        said = ", ".join(row["roots"]) or "nothing"
        where = "" if points else f" at line {row['line']}, not {row['lines'][0]}"
        held = ", held out" if row["is_held_out"] else ""
        error = f"; {row['error']}" if row["error"] else ""
        which = f"{row['kind']} `{row['name']}` (seed {row['seed']}{held})"
        lines.append(f"- {which}: {said}{where}{error}")
    return "\n".join(lines) or "Nothing."
