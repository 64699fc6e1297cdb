"""Keeps what fails of ours away from the script, and remembers it for the report."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from traindoctor.errors import words_of
from traindoctor.target.usercode import is_ours

MOST = 20  # different ones; then something is wrong with us


class Troubles:
    """The instruments that failed.

    Args:
        give_up: called when there are too many of them.
    """

    def __init__(self, give_up: Callable[[], None]) -> None:
        self.give_up = give_up
        self.told: list[str] = []

    def safely(self, act: Callable[..., Any], *args: Any) -> Any:
        """Call what is ours; what it raises is noted and is not the script's business."""
        try:
            return act(*args)
        except Exception as error:
            try:
                self.note(getattr(act, "__qualname__", "an instrument"), error)
            except Exception:  # the script has changed what all of us stand on
                self.give_up()
            return None

    def note(self, what: str, error: BaseException) -> None:
        """Note that something failed, with our own line at which it did."""
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        place = [frame for frame in frames if is_ours(frame.filename)][-1:]
        where = f" at {os.path.basename(place[0].filename)}:{place[0].lineno}" if place else ""
        text = f"{what} failed with {type(error).__name__}{where}: {words_of(error, 200)}"
        if text not in self.told:
            self.told.append(text)
        if len(self.told) >= MOST:
            self.give_up()
