"""A program with one fault planted, or one that only looks like it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
FACTORIES = ("setup", "setup_step", "setup_loop")


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a program's text.

    Attributes:
        rule: what it makes true, or only seems to.
        program: name of the file under `programs/`.
        replace: pairs of text, old and new; each old one stands exactly once in the program.
        factory: what the doctor is to be given.
        lines: text of the lines that a finding may point at; empty where no line is the culprit.
        claimed: samples, epochs and seconds that a log of the program's tells of.
    """

    rule: str
    program: str
    replace: tuple[tuple[str, str], ...]
    factory: str = "setup"
    lines: tuple[str, ...] = ()
    claimed: tuple[int, int, float] | None = None

    @property
    def options(self) -> dict[str, dict[str, float]]:
        """What the doctor is told beside the program."""
        names = ("num_samples", "epochs", "seconds")
        return {"step-timing": dict(zip(names, self.claimed, strict=True))} if self.claimed else {}

    @property
    def name(self) -> str:
        """As tests and tables call it."""
        return f"{self.rule}-{self.program}"


@dataclass(frozen=True, slots=True)
class Built:
    """An edited program on disk."""

    file: Path
    reference: str  # file:factory
    options: dict[str, dict[str, float]]
    lines: tuple[int, ...]  # numbers of the lines that a finding may point at


def edited(edit: Edit) -> str:
    """Return the program's text with the edit applied."""
    text = (PROGRAMS / f"{edit.program}.py").read_text()
    for old, new in edit.replace:
        count = text.count(old)
        assert count == 1, f"{edit.name}: {old!r} stands {count} times in {edit.program}.py"
        text = text.replace(old, new)
    return text


def build(edit: Edit, folder: Path) -> Built:
    """Write the edited program into a folder, as `<rule>_<program>.py`."""
    text = edited(edit)
    file = folder / f"{edit.name.lower().replace('-', '_')}.py"
    file.write_text(text)
    lines = tuple(number(text, line) for line in edit.lines)
    return Built(file, f"{file}:{edit.factory}", edit.options, lines)


def number(text: str, line: str) -> int:
    """Return the number of the one line that holds a text."""
    found = [index for index, row in enumerate(text.splitlines(), start=1) if line in row]
    assert len(found) == 1, f"{line!r} stands on lines {found}"
    return found[0]
