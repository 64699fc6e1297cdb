"""A table of what was measured, for the terminal and for the docs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

HEADING = "## "


@dataclass(slots=True)
class Sheet:
    """One table of measurements.

    Attributes:
        title: what was measured.
        columns: what stands above the columns, units included.
        rows: a text for each column.
        notes: sentences that belong under it.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(cells)

    def table(self) -> Table:
        """Return it as a terminal shows it."""
        table = Table(*self.columns, title=self.title)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Return it as a section of a page."""
        ruler = tuple("---" for _ in self.columns)
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, ruler, *self.rows)]
        return "\n".join(
            [f"{HEADING}{self.title}", "", *lines, *(f"\n{note}" for note in self.notes)]
        )


def show(sheets: Iterable[Sheet]) -> Iterator[Sheet]:
    """Print each as it comes, and yield it."""
    console = Console(width=100)
    for sheet in sheets:
        console.print(sheet.table(), *sheet.notes, sep="\n")
        yield sheet
