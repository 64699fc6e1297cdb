"""Measures what traindoctor costs: `python -m benchmarks [NAME …]`; all of it with `make bench`.

Each table is printed, and written to `docs/costs.md` in the place of the one that was taken before.
All of them take some hours on two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from benchmarks.sheet import HEADING, Sheet, show

NAMES = (
    "processes",
    "passes",
    "documents",
    "watching",
    "instructions",
    "growth",
    "long_run",
    "ranks",
)
PAGE = Path(__file__).parents[1] / "docs" / "costs.md"


def main() -> None:
    """Run what was asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    asked = parser.parse_args().names or NAMES
    unknown = sorted(set(asked) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    for name in asked:
        for sheet in show(import_module(f"benchmarks.{name}").sheets()):
            sheet.notes.append(taken())
            PAGE.write_text(renewed(PAGE.read_text(), sheet))


def taken() -> str:
    """Say when and where it was measured."""
    versions = f"Python {platform.python_version()}, torch {version('torch')}"
    return f"*{date.today():%d %B %Y}; {os.cpu_count()} cores, no GPU; {versions}.*"


def renewed(page: str, sheet: Sheet) -> str:
    """Return a page with a sheet in the place of the one of the same title, or at its end."""
    head, *sections = (part.strip("\n") for part in page.split(HEADING))
    text = sheet.markdown().removeprefix(HEADING)
    titles = [section.partition("\n")[0] for section in sections]
    if sheet.title in titles:
        sections[titles.index(sheet.title)] = text
    else:
        sections.append(text)
    return f"\n\n{HEADING}".join([head, *sections]) + "\n"


if __name__ == "__main__":
    main()
