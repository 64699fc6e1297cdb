"""A script with one line broken."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.watch.catalog import SCRIPTS, Script, named


@dataclass(frozen=True, slots=True)
class Breakage:
    """A small edit of a script, the fault that it plants, and what the run then shows.

    Attributes:
        rule: code of the one root cause.
        script: name of the script in the catalog.
        replace: pairs of text, old and new; each old one stands exactly once in the file.
        lines: text of the lines that a finding may point at, each on one line of the edited file;
            "text @2" is the second line that has it; empty where no line is the culprit.
        shows: what one sees when the broken script is simply run.
        status: exit status of the broken script.
        learns: whether its own numbers still pass as learning.
        file: the edited file where it is not the script's own, relative to `scripts/`.
        also: codes that name the same fault as rightly.
        label: tells apart two breakages of one script by one rule.
        is_information: the rule's limits make this case information, and no root cause.
    """

    rule: str
    script: str
    replace: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]
    shows: str
    status: int = 0
    learns: bool = False
    file: str = ""
    also: tuple[str, ...] = ()
    label: str = ""
    is_information: bool = False

    @property
    def name(self) -> str:
        """As tests and tables call it."""
        return "-".join(part for part in (self.rule, self.script, self.label) if part)

    @property
    def edited_file(self) -> str:
        """Path of the edited file, relative to `scripts/`."""
        return self.file or named(self.script).file


@dataclass(frozen=True, slots=True)
class Built:
    """A script on disk, ready to run.

    Attributes:
        script: what it is.
        folder: holds it and the modules beside it.
        lines: numbers of the lines that a finding may point at.
    """

    script: Script
    folder: Path
    lines: tuple[int, ...] = ()


def edited(breakage: Breakage) -> str:
    """Return the text of the edited file."""
    text = (SCRIPTS / breakage.edited_file).read_text()
    for old, new in breakage.replace:
        count = text.count(old)
        assert count == 1, f"{breakage.name}: {old!r} stands {count} times"
        text = text.replace(old, new)
    return text


def build(breakage: Breakage, folder: Path) -> Built:
    """Write the broken script into a folder, with the modules beside it."""
    shutil.copytree(
        SCRIPTS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    text = edited(breakage)
    (folder / breakage.edited_file).write_text(text)
    return Built(named(breakage.script), folder, numbers(breakage, text))


def numbers(breakage: Breakage, text: str) -> tuple[int, ...]:
    """Return the numbers of the lines that a finding may point at."""
    return tuple(_number(text, line, breakage.name) for line in breakage.lines)


def _number(text: str, line: str, name: str) -> int:
    line, _, nth = line.partition(" @")
    found = [index for index, row in enumerate(text.splitlines(), start=1) if line in row]
    assert nth or len(found) == 1, f"{name}: {line!r} stands on lines {found}"
    return found[int(nth or 1) - 1]
