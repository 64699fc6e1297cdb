"""A page of terminal text: rich's layout, with text from user code made harmless."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from traindoctor.report.renderers.look import Look

if TYPE_CHECKING:
    from traindoctor.probing.finding import Value

MARKS = {"critical": "✗", "error": "✗", "warning": "!", "info": "·"}
STYLES = {"critical": "bold red", "error": "red", "warning": "yellow", "info": "cyan"}
LABEL_WIDTH = 10

# Control characters could move the cursor, bidirectional ones could reorder what is read, and
# a lone surrogate cannot be written at all.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_ASCII = str.maketrans(
    {
        "✓": "+",
        "✗": "x",
        "–": "-",
        "—": "-",
        "·": "|",
        "❱": ">",
        "…": "...",
        "×": "x",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "±": "+-",
        "█": "#",
        "━": "=",
        "─": "-",
        "│": "|",
    }
)


class Page:
    """Lines as they will stand in the terminal."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._written = io.StringIO()
        self._console = Console(
            file=self._written,
            width=look.width,
            force_terminal=look.color,
            color_system="standard" if look.color else None,
            markup=False,
            highlight=False,
            emoji=False,
            legacy_windows=False,
        )

    def put(self, text: RenderableType = "", *, indent: int = 0, style: str = "") -> None:
        """Add a paragraph, wrapped; every line of it indented."""
        if isinstance(text, str):
            text = Text(text, style=style)
        self._console.print(Padding(text, (0, 0, 0, indent), expand=False) if indent else text)

    def put_line(self, text: Text, *, indent: int = 0) -> None:
        """Add one line, cut where the page ends."""
        text.truncate(self.look.width - indent, overflow="ellipsis")
        self.put(text, indent=indent)

    def put_labelled(self, label: str, text: str | Text, *, indent: int = 2) -> None:
        """Add a paragraph that hangs from its label."""
        grid = Table.grid(padding=0)
        grid.add_column(width=LABEL_WIDTH, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(label, style="dim"), text if isinstance(text, Text) else Text(text))
        self.put(grid, indent=indent)

    def put_table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, indent: int = 2
    ) -> None:
        """Add rows of figures under their headings, folded where the page is too narrow."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for heading in columns:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(Text(item) if isinstance(item, str) else item for item in row))
        self.put(table, indent=indent)

    def put_packed(self, parts: Sequence[Text], *, indent: int = 0) -> None:
        """Add parts side by side, as many a line as fit."""
        line = Text()
        for part in parts:
            if line and indent + line.cell_len + 3 + part.cell_len > self.look.width:
                self.put(line, indent=indent)
                line = Text()
            line = Text.assemble(line, "   " if line else "", part)
        if line:
            self.put(line, indent=indent)

    def put_ends(self, left: Text, right: str) -> None:
        """Add a line with something at its right end; on a line of its own if need be."""
        gap = self.look.width - left.cell_len - Text(right).cell_len
        if gap < 2:
            self.put(left)
            self.put_line(Text(right), indent=2)
            return
        self.put(Text.assemble(left, " " * gap, (right, "dim")))

    def text(self) -> str:
        """Return the page."""
        written = self._written.getvalue()
        if not self.look.color:
            written = "\n".join(line.rstrip() for line in written.split("\n"))
        return written if self.look.unicode else to_ascii(written)


def harmless(text: str) -> str:
    """Return text with every character escaped that a terminal would act on."""
    return _UNSAFE.sub(_escaped, text.expandtabs(4))


def to_ascii(text: str) -> str:
    """Return text that any terminal can show."""
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def figure(value: Value) -> str:
    """Return a measured value as a person would write it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"
    return f"{value:.4g}"


def count(number: int, noun: str, plural: str = "") -> str:
    """Return `1 symptom` or `3 symptoms`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"


def _escaped(match: re.Match[str]) -> Any:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
