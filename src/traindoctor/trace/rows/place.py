"""A line of the user's code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's code; `file` is absolute."""

    file: str | None = None
    line: int | None = None
    function: str | None = None
    text: str = ""

    def __bool__(self) -> bool:
        return self.file is not None
