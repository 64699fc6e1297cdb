"""The last collectives that a process entered, in a file that outlives it however it ends.

A process that waits in a collective writes nothing more, and one that is aborted there has no time
to: its last calls stand in memory that is shared with a file. Entering one costs microseconds.
"""

from __future__ import annotations

import json
import mmap
from pathlib import Path

from traindoctor.trace import CallRow, Place

SLOTS, SIZE = 64, 512
ENTERED, LEFT, RAISED = "entered", "left", "raised"
MOST_PATH = 300  # letters


class CallLog:
    """Writes the log.

    Args:
        path: of the file; one that is there is gone.

    Raises:
        OSError: it cannot be written there.
    """

    def __init__(self, path: Path) -> None:
        path.write_bytes(b" " * SLOTS * SIZE)
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), SLOTS * SIZE)
        self.number = 0

    def enters(self, name: str, num_elements: int, place: Place) -> int:
        """Write that a collective is entered; return its number, from 1."""
        self.number += 1
        self._write(self.number, ENTERED, name, num_elements, place)
        return self.number

    def leaves(self, number: int, name: str, num_elements: int, place: Place, raised: bool) -> None:
        """Write that it is over."""
        self._write(number, RAISED if raised else LEFT, name, num_elements, place)

    def _write(self, number: int, state: str, name: str, elements: int, place: Place) -> None:
        file = (place.file or "")[-MOST_PATH:]
        told = [number, state, name, elements, file, place.line or 0, place.function or ""]
        text = json.dumps(told, ensure_ascii=True).encode()[:SIZE].ljust(SIZE)
        start = (number - 1) % SLOTS * SIZE
        self.memory[start : start + SIZE] = text


def calls_in(path: Path) -> tuple[CallRow, ...]:
    """Return what a log holds, in order; nothing where there is none."""
    try:
        text = path.read_bytes()
    except OSError:
        return ()
    slots = (text[start : start + SIZE] for start in range(0, len(text), SIZE))
    found = [row for slot in slots if slot.strip() and (row := _row(slot)) is not None]
    return tuple(sorted(found, key=lambda row: row.number))


def _row(slot: bytes) -> CallRow | None:
    try:
        number, state, name, elements, file, line, function = json.loads(slot)
    except ValueError:  # it was being written
        return None
    place = Place(file, line, function or None) if file else Place()
    return CallRow(number=number, state=state, name=name, num_elements=elements, place=place)
