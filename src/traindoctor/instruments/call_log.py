"""The last exchanges of a process with others, in a file that outlives it however it ends.

A process that waits in a collective writes nothing more, and one that is aborted there has no time
to: its last calls stand in memory that is shared with a file, and so does where its thread is.
Entering one costs microseconds.
"""

from __future__ import annotations

import json
import mmap
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from traindoctor.trace import CallRow, Place

SLOTS, SIZE = 128, 512  # one slot more, the first, is the process's own
ENTERED, LEFT, RAISED = "entered", "left", "raised"
MOST_PATH, MOST_NAME, MOST_MEMBERS = 200, 40, 60  # letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What a process says of itself, once a second.

    Attributes:
        process: its number.
        rank: among all.
        place: the line of the user's code that its main thread is at.
        seen_at: seconds on the machine's own clock.
        active_at: when its main thread was last seen to do something; as `seen_at` where that
            cannot be known.
        longest: seconds that it has been in a collective at most.
        is_whole: the log has all its exchanges; not where other threads have some too.
    """

    process: int
    rank: int
    place: Place = Place()
    seen_at: float = 0.0
    active_at: float = 0.0
    longest: float = 0.0
    is_whole: bool = True


class CallLog:
    """Writes the log.

    Args:
        path: of the file; one that is there is gone.
        rank: of the process.
        clock: seconds, the same on all processes of this machine.

    Raises:
        OSError: it cannot be written there.
    """

    def __init__(
        self, path: Path, rank: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        path.write_bytes(b" " * (SLOTS + 1) * SIZE)
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), (SLOTS + 1) * SIZE)
        self.clock = clock
        self.number = 0
        self.longest = 0.0
        self.about = Whereabouts(process=os.getpid(), rank=rank, seen_at=clock(), active_at=clock())
        self.is_at(Place(), is_active=True)

    def enters(self, row: CallRow) -> CallRow:
        """Write that an exchange is entered; return it with its number."""
        self.number += 1
        entered = replace(row, number=self.number, state=ENTERED, entered_at=self.clock())
        self._write(entered)
        return entered

    def leaves(self, row: CallRow, raised: bool) -> CallRow:
        """Write that it is over."""
        self.longest = max(self.longest, self.clock() - row.entered_at)
        left = replace(row, state=RAISED if raised else LEFT)
        self._write(left)
        return left

    def is_at(self, place: Place, *, is_active: bool) -> None:
        """Write where the process's main thread is, and whether it does anything."""
        now = self.clock()
        active_at = now if is_active else self.about.active_at
        self.about = replace(
            self.about, place=place, seen_at=now, active_at=active_at, longest=self.longest
        )
        self._write_about()

    def is_in_part(self) -> None:
        """Write that the process has exchanges that are not in the log."""
        if self.about.is_whole:
            self.about = replace(self.about, is_whole=False)
            self._write_about()

    def _write_about(self) -> None:
        one = self.about
        told = [one.process, one.rank, one.seen_at, one.active_at, one.longest, one.is_whole]
        self._put(0, [*told, *_written(one.place)])

    def _write(self, row: CallRow) -> None:
        told = [row.number, row.state, row.name[:MOST_NAME], row.num_elements, row.num_bytes]
        told += [row.queue[:MOST_NAME], row.turn, spans(row.members)[:MOST_MEMBERS], row.peer]
        told += [row.is_wait, row.entered_at, *_written(row.place)]
        self._put((row.number - 1) % SLOTS + 1, told)

    def _put(self, slot: int, told: list[object]) -> None:
        text = json.dumps(told, ensure_ascii=True).encode()[:SIZE].ljust(SIZE)
        self.memory[slot * SIZE : (slot + 1) * SIZE] = text


class Logged:
    """What a log holds at one moment.

    Attributes:
        about: what the process says of itself; None where there is no log.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.text = path.read_bytes()
        except OSError:
            self.text = b""
        self.about = _about(self.text[:SIZE])

    def calls(self) -> tuple[CallRow, ...]:
        """Return the last exchanges in order; none where some are not in the log."""
        if self.about is None or not self.about.is_whole:
            return ()
        found = [row for slot in self._slots() if (row := _row(slot)) is not None]
        return tuple(sorted(found, key=lambda row: row.number))

    def last(self) -> CallRow | None:
        """Return the last one, whether or not the log has all of them."""
        slots = [(number, slot) for slot in self._slots() if (number := _number(slot))]
        return _row(max(slots)[1]) if slots else None

    def _slots(self) -> Iterator[bytes]:
        starts = range(SIZE, len(self.text), SIZE)
        return (slot for start in starts if (slot := self.text[start : start + SIZE]).strip())


def calls_in(path: Path) -> tuple[CallRow, ...]:
    """Return what a log holds, in order; nothing where there is none, or a part of them."""
    return Logged(path).calls()


@lru_cache(maxsize=256)
def spans(ranks: tuple[int, ...]) -> str:
    """Write ranks briefly: `0-3,8`, and with a step `0-14:2`."""
    parts: list[str] = []
    rest = list(ranks)
    while rest:
        step = rest[1] - rest[0] if len(rest) > 1 else 1
        number = 1
        while step > 0 and number < len(rest) and rest[number] - rest[number - 1] == step:
            number += 1
        if number < 3 and step != 1:
            number = 1
        taken, rest = rest[:number], rest[number:]
        last = f"-{taken[-1]}" if number > 1 else ""
        parts.append(f"{taken[0]}{last}" + (f":{step}" if number > 1 and step > 1 else ""))
    return ",".join(parts)


@lru_cache(maxsize=1024)
def ranks_in(text: str) -> tuple[int, ...]:
    """Read what `spans` has written; nothing of what was cut off."""
    found: list[int] = []
    try:
        for part in text.split(",") if text and len(text) < MOST_MEMBERS else ():
            ends, _, step = part.partition(":")
            first, _, last = ends.partition("-")
            found += range(int(first), int(last or first) + 1, int(step or 1))
    except ValueError:
        return ()
    return tuple(found)


def _written(place: Place) -> list[object]:
    return [(place.file or "")[-MOST_PATH:], place.line or 0, (place.function or "")[:MOST_NAME]]


@lru_cache(maxsize=4096)
def _place(file: str, line: int, function: str) -> Place:
    return Place(file, line, function or None) if file else Place()


def _number(slot: bytes) -> int:
    head, _, rest = slot[1:].partition(b",")
    return int(head) if rest and head.isdigit() else 0


def _about(slot: bytes) -> Whereabouts | None:
    try:
        process, rank, seen, active, longest, is_whole, *place = json.loads(slot)
    except ValueError:
        return None
    return Whereabouts(
        process=process,
        rank=rank,
        place=_place(*place),
        seen_at=seen,
        active_at=active,
        longest=longest,
        is_whole=is_whole,
    )


def _row(slot: bytes) -> CallRow | None:
    try:
        told = json.loads(slot)
    except ValueError:  # it was being written
        return None
    number, state, name, elements, size, queue, turn, members, peer, is_wait, entered, *place = told
    return CallRow(
        number=number,
        state=state,
        name=name,
        num_elements=elements,
        num_bytes=size,
        queue=queue,
        turn=turn,
        members=ranks_in(members),
        peer=peer,
        is_wait=is_wait,
        entered_at=entered,
        place=_place(*place),
    )
