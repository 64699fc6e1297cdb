"""Records what the user's `except` clauses catch, and how often running totals are added to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from traindoctor.instruments.recorder import Recorder
from traindoctor.target.caught import Caught
from traindoctor.target.usercode import place_of
from traindoctor.target.woven import listening
from traindoctor.trace import CountRow, HandledRow, Place

_CALL = os.path.join("nn", "modules", "module.py")  # where torch calls a forward


@dataclass(slots=True)
class _Counted:
    """One running total; its code is held, for its `id` to stay its own."""

    code: CodeType
    place: Place
    number: int = 0


@contextmanager
def handled_seen(recorder: Recorder) -> Iterator[None]:
    """Record every exception that the user's code catches while inside, and its counted lines."""
    watch = HandledWatch(recorder)
    try:
        with listening(watch):
            yield
    finally:
        recorder.handled += watch.rows()
        recorder.counts += watch.count_rows()


class HandledWatch(Caught):
    """Hears woven code, and knows from a recorder where in the run it is."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.counts: dict[tuple[int, int], _Counted] = {}  # by where in the code it is

    def where(self) -> tuple[int, bool]:
        """Return the batch, and whether it waits for a step after its backward pass."""
        recorder, batch = self.recorder, self.recorder.batch
        done = bool(recorder.backwards) and recorder.backwards[-1].batch == batch
        return batch, done and not (recorder.steps and recorder.steps[-1].batch == batch)

    def facts(self) -> dict[str, Any]:
        """Return the phase and the module whose forward runs."""
        running = self.recorder.running[-1] if self.recorder.running else {}
        return {
            "phase": self.recorder.phase or "fetch",
            "module": running.get("module", ""),
            "module_class": running.get("module_class", ""),
            "module_keywords": running.get("module_keywords", ()),
        }

    def counted(self, frame: FrameType) -> None:
        """Count a line that adds to a total."""
        key = (id(frame.f_code), frame.f_lasti)  # to hash code itself takes longer than all else
        seen = self.counts.get(key)
        if seen is None:
            seen = self.counts[key] = _Counted(frame.f_code, place_of(frame))
        seen.number += 1

    def caught(self, frame: FrameType, error: BaseException) -> None:
        """Take it in, and that the forwards which it left will not return."""
        super().caught(frame, error)
        if not _is_inside_forward(frame):
            self.recorder.running.clear()  # those forwards will not return

    def rows(self) -> tuple[HandledRow, ...]:
        """Return the rows without what was caught last and ended the run all the same."""
        ended = self.recorder.exceptions[-1:]
        if self.last and ended and ended[0].message == self.last[0].facts["message"]:
            seen, batch = self.last
            seen.take_back(batch)
            self.last = None
        return super().rows()

    def count_rows(self) -> list[CountRow]:
        """Return how often each counted line ran."""
        counts: Counter[Place] = Counter()
        for seen in self.counts.values():
            counts[seen.place] += seen.number
        return [CountRow(place=place, count=number) for place, number in counts.items()]


def _is_inside_forward(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.endswith(_CALL):
            return True
        frame = frame.f_back
    return False
