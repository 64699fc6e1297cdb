"""How a report is to look where it is shown; formats that are read by machines ignore it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Attributes of the place where text ends up.

    Attributes:
        width: in columns.
        color: whether it understands ANSI colour.
        unicode: whether it can show more than ASCII.
        verbosity: -1 the verdict alone, 0 what to do, 1 everything.
    """

    width: int = 80
    color: bool = False
    unicode: bool = True
    verbosity: int = 0
