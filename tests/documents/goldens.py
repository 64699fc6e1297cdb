"""The ten documents of the five cases, as they should read: `python -m tests.documents.goldens`.

What varies from run to run is written as a word in brackets, here and nowhere else. Numbers that
are measured stand as they are, and may differ a little on another machine.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import traindoctor
from traindoctor.report.record import Report
from traindoctor.report.renderers import render
from traindoctor.report.renderers.look import Look
from traindoctor.target.reference import load

ROOT = Path(__file__).parents[2]
DOCUMENTS = ROOT / "fixtures" / "documents"
GOLDENS = Path(__file__).parent / "goldens"
CASES = sorted(folder.name for folder in DOCUMENTS.iterdir() if folder.is_dir())
NAMES = tuple(f"{case}/{which}" for case in CASES for which in ("broken", "fixed"))

TOLERANCE = 0.05  # of a measured number that is not a count
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
_TIME = r"(?: ?(?:ms|s|min|h)\b| samples/s| a second| FLOP/s)"
_VARIES = (
    (re.compile(r"(?m)^\| Date \| .*"), "| Date | (date) |"),
    (re.compile(r"(?m)^\| On \| .*"), "| On | (versions and device) |"),
    (re.compile(r"healthy: \d+ of \d+ probes"), "healthy: (all) probes"),  # each new one adds
    (re.compile(r"(?m)^(- Not judged, because .*?): (?:TD\d+(?:, )?)+\."), r"\1: (rules)."),
    (re.compile(rf"{_NUMBER.pattern}{_TIME}"), "(time)"),
    (re.compile(rf"\b(?:is|are) {_NUMBER.pattern} times what\b"), "is (ratio) times what"),
    (re.compile(rf"{_NUMBER.pattern} (?:MB|B)\b"), "(memory)"),
    (re.compile(rf"\b{_NUMBER.pattern}% of a step's memory"), "(share) of a step's memory"),
    (re.compile(rf"\(time\) \| {_NUMBER.pattern} \|"), "(time) | (time) |"),  # its expected value
)


def report(name: str) -> Report:
    """Examine `case/script` in this process."""
    reference = f"fixtures/documents/{name}.py:setup"
    with contextlib.redirect_stdout(io.StringIO()):
        made = traindoctor.check(load(f"{ROOT / reference}", {}))
    return replace(
        made,
        command=f"traindoctor check {reference}",
        target=replace(made.target, reference=reference),
    )


def document(made: Report) -> str:
    """Return a report's document, with words for what varies."""
    text = render(made, "markdown", Look()).replace(f"{ROOT}/", "")
    for pattern, word in _VARIES:
        text = pattern.sub(word, text)
    return text


def golden(name: str) -> Path:
    """Return the file that holds a document as it should read."""
    return GOLDENS / f"{name.replace('/', '-')}.md"


def differences(text: str, expected: str) -> list[str]:
    """Return the lines that differ by more than the rounding of a measured number."""
    found = [
        f"- {old}\n+ {new}"
        for new, old in zip(text.splitlines(), expected.splitlines(), strict=False)
        if not _agree(new, old)
    ]
    more = len(text.splitlines()) - len(expected.splitlines())
    return [*found, *([f"{more:+} lines"] if more else [])]


def _agree(new: str, old: str) -> bool:
    ours, theirs = _NUMBER.findall(new), _NUMBER.findall(old)
    if _NUMBER.sub("#", new) != _NUMBER.sub("#", old) or len(ours) != len(theirs):
        return False
    return all(map(_close, ours, theirs))


def _close(one: str, other: str) -> bool:
    if one.isdigit() and other.isdigit():
        return one == other
    return math.isclose(
        float(one.replace(",", "")), float(other.replace(",", "")), rel_tol=TOLERANCE
    )


def main() -> None:
    """Write the documents anew, or say which would change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write them")
    asked = parser.parse_args()
    for name in NAMES:
        text, file = document(report(name)), golden(name)
        known = file.read_text(encoding="utf-8") if file.exists() else ""
        changed = differences(text, known)
        print(f"{name}: {len(changed)} lines changed" if changed else f"{name}: as it was")
        if asked.update and changed:
            GOLDENS.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
