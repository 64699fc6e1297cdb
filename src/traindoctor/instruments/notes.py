"""Lets an instrument note what it sees without user code ever feeling it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from traindoctor.instruments.recorder import Recorder
from traindoctor.target.patches import Notes

BROKEN = "broken_instruments"  # a fact: what each instrument that failed has failed with


def notes_of(
    recorder: Recorder,
    name: str,
    table: str = "",
    rows: Callable[[], Iterable[Any]] | None = None,
) -> Notes:
    """Return the notes of an instrument; its failure ends up among the recorder's facts.

    Args:
        recorder: what the instrument records for.
        name: of the instrument.
        table: that the recorder makes of `rows`, whenever it is asked for its trace.
        rows: what the instrument has summed up.
    """

    def failed(reason: str) -> None:
        recorder.facts.setdefault(BROKEN, {})[name] = reason

    notes = Notes(failed)
    if rows is not None:
        recorder.sums[table] = lambda: notes.guarded(rows) or ()
    return notes
