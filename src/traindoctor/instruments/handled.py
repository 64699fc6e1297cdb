"""Records what the user's `except` clauses catch, and how often running totals are added to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType, TracebackType

from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.woven import listening
from traindoctor.target.usercode import (
    is_user_class,
    is_user_file,
    place_of,
    raised_place,
    raising_text,
    user_traceback,
)
from traindoctor.trace import CountRow, HandledRow, Place

# Left on a caught exception, to know it again; holding it would hold every tensor of its frames.
_MARK = "__traindoctor__"
_CALL = os.path.join("nn", "modules", "module.py")  # where torch calls a forward


@dataclass(slots=True)
class _Seen:
    handler: Place
    raised: Place
    error: dict[str, object]
    batches: Counter[int] = field(default_factory=Counter)
    after_backward: Counter[int] = field(default_factory=Counter)


@contextmanager
def handled_seen(recorder: Recorder) -> Iterator[None]:
    """Record every exception that the user's code catches while inside, and its counted lines."""
    watch = _Watch(recorder)
    try:
        with listening(watch):
            yield
    finally:
        recorder.handled += watch.rows()
        recorder.counts += [
            CountRow(place=place, count=watch.counts[key]) for key, place in watch.places.items()
        ]


class _Watch:
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.seen: dict[tuple[object, ...], _Seen] = {}
        self.order: list[tuple[_Seen, int]] = []  # what was caught, and in which batch
        self.counts: Counter[tuple[CodeType, int]] = Counter()
        self.places: dict[tuple[CodeType, int], Place] = {}

    def counted(self, frame: FrameType) -> None:
        key = (frame.f_code, frame.f_lineno)
        if key not in self.places:
            self.places[key] = place_of(frame)
        self.counts[key] += 1

    def caught(self, frame: FrameType, error: BaseException) -> None:
        recorder, code = self.recorder, frame.f_code
        key = (code, frame.f_lineno, type(error), *_innermost(error.__traceback__))
        seen = self.seen.get(key)
        if seen is None:
            seen = self.seen[key] = _Seen(
                place_of(frame), raised_place(error.__traceback__), self._described(error)
            )
        self._take_back(error)
        self._take_back(error.__cause__)
        vars(error)[_MARK] = (id(self), len(self.order))
        self.order.append((seen, recorder.batch))
        seen.batches[recorder.batch] += 1
        seen.after_backward[recorder.batch] += self._waits_for_a_step()
        if not _is_inside_forward(frame):
            recorder.running.clear()  # those forwards will not return

    def _described(self, error: BaseException) -> dict[str, object]:
        running = self.recorder.running[-1] if self.recorder.running else {}
        return {
            "type_name": type(error).__name__,
            "message": str(error)[:2000],
            "is_users_type": is_user_class(type(error)),
            "phase": self.recorder.phase or "fetch",
            "module": running.get("module", ""),
            "module_class": running.get("module_class", ""),
            "raising_text": raising_text(error.__traceback__),
            "traceback": user_traceback(error),
        }

    def _waits_for_a_step(self) -> bool:
        """Tell whether this batch was differentiated and no optimizer has stepped since."""
        recorder = self.recorder
        done = bool(recorder.backwards) and recorder.backwards[-1].batch == recorder.batch
        return done and not (recorder.steps and recorder.steps[-1].batch == recorder.batch)

    def _take_back(self, error: BaseException | None) -> None:
        """Uncount what a handler raised again: the one that keeps it is the one."""
        who, number = (0, 0) if error is None else vars(error).get(_MARK, (0, 0))
        if who == id(self):
            seen, batch = self.order[number]
            seen.batches[batch] -= 1
            seen.after_backward[batch] = 0

    def rows(self) -> list[HandledRow]:
        """Return one row for each handler and raising line that kept an exception."""
        self._forget_escaped()
        return [
            HandledRow(
                handler=seen.handler,
                raised=seen.raised,
                count=sum(seen.batches.values()),
                batches=tuple(sorted(+seen.batches)),
                after_backward=tuple(sorted(+seen.after_backward)),
                **seen.error,  # type: ignore[arg-type]  # named in _described
            )
            for seen in self.seen.values()
            if any(seen.batches.values())
        ]

    def _forget_escaped(self) -> None:
        """Uncount what was caught last and ended the run all the same."""
        ended = self.recorder.exceptions[-1:]
        if self.order and ended and ended[0].message == self.order[-1][0].error["message"]:
            seen, batch = self.order[-1]
            seen.batches[batch] -= 1


def _innermost(trace: TracebackType | None) -> tuple[str, int]:
    """Return file and line of the user's innermost frame, cheaply."""
    found = ("", 0)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_user_file(file):
            found = (file, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _is_inside_forward(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.endswith(_CALL):
            return True
        frame = frame.f_back
    return False
