"""What a worker leaves behind in case it dies: which line of the user's code it was on.

Two unlinked files are shared with the supervisor by descriptor. `faulthandler` writes its
dump of a crash or, on SIGUSR1, of a hang into one. The other has two slots: the user line that
a heartbeat thread saw last, and the last deed of a process that ends itself on purpose.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from traindoctor.target.usercode import absolute, is_user_file, user_place
from traindoctor.trace import Place

SLOT_BYTES = 4096
HEARTBEAT_SECONDS = 0.1
_LINE, _DEED = 0, SLOT_BYTES
_DUMPED = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """How a process says that it ends itself: `what` reads on after "the worker"."""

    what: str
    place: Place = field(default_factory=Place)
    exit_status: int | None = None  # the status it will end with, where that is known
    signal_number: int | None = None  # the signal it will die of, where that is known
    is_ours: bool = False  # traindoctor itself failed


class Recorder:
    """The worker's side."""

    def __init__(self, box: int, dump: int) -> None:
        self.box, self.dump = box, dump
        self.process, self.parent = os.getpid(), os.getppid()
        self.main_thread = threading.main_thread().ident

    def install(self) -> None:
        """Watch this process until it ends."""
        faulthandler.enable(self.dump)
        faulthandler.register(signal.SIGUSR1, self.dump)
        really_exit, really_kill, really_killpg = os._exit, os.kill, os.killpg

        def leave(status: int) -> None:
            self._note_from(
                sys._getframe(1), what=f"called os._exit({status})", exit_status=status & 255
            )
            really_exit(status)

        def kill(process: int, number: int) -> None:
            if process in (self.process, 0):
                self._note_signal(sys._getframe(1), number)
            really_kill(process, number)

        def killpg(group: int, number: int) -> None:
            if group in (self.process, 0):
                self._note_signal(sys._getframe(1), number)
            really_killpg(group, number)

        os._exit, os.kill, os.killpg = leave, kill, killpg  # type: ignore[assignment]
        threading.Thread(
            target=self._beat, args=(really_killpg,), name="traindoctor-heartbeat", daemon=True
        ).start()

    def note(self, deed: Deed) -> None:
        """Write down how this process is about to end."""
        facts = [deed.what, deed.exit_status, deed.signal_number, deed.is_ours]
        self._write(_DEED, [*facts, *_written(deed.place)])

    def _note_from(self, frame: Any, **facts: Any) -> None:
        if os.getpid() == self.process:  # forked data-loader workers end themselves all the time
            self.note(Deed(place=user_place(frame), **facts))

    def _note_signal(self, frame: Any, number: int) -> None:
        what = f"sent itself {signal_name(number)}"
        self._note_from(frame, what=what, signal_number=int(number))

    def _beat(self, killpg: Callable[[int, int], None]) -> None:
        seen = Place()
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            if os.getppid() != self.parent:  # the supervisor was killed: nobody else would end us
                killpg(self.process, signal.SIGKILL)
            place = user_place(sys._current_frames().get(self.main_thread or 0))
            if place and place != seen:
                seen = place
                self._write(_LINE, _written(place))

    def _write(self, offset: int, values: list[Any]) -> None:
        data = json.dumps(values).encode()
        os.pwrite(self.box, data.ljust(SLOT_BYTES)[:SLOT_BYTES], offset)


def last_deed(box: IO[bytes]) -> Deed | None:
    """Return what the process noted before it ended itself."""
    values = _read(box, _DEED)
    if values is None:
        return None
    what, exit_status, signal_number, is_ours, *place = values
    return Deed(
        what=what,
        place=Place(*place),
        exit_status=exit_status,
        signal_number=signal_number,
        is_ours=is_ours,
    )


def last_line(box: IO[bytes]) -> Place:
    """Return the user's line that the heartbeat saw last."""
    return Place(*(_read(box, _LINE) or ()))


def dumped_line(dump: str) -> Place:
    """Return the user's innermost line in a faulthandler dump.

    The thread that was running comes first; of the others the main thread, which is last.
    """
    threads = re.split(r"(?m)^(?=(?:Current thread|Thread) 0x)", dump)
    threads.sort(key=lambda text: text.startswith("Current"))
    for thread in reversed(threads):
        for file, line, function in _DUMPED.findall(thread):
            if is_user_file(file):
                return Place(absolute(file), int(line), function)
    return Place()


def signal_name(number: int) -> str:
    """Return `signal 11 (SIGSEGV)`."""
    try:
        return f"signal {int(number)} ({signal.Signals(number).name})"
    except ValueError:  # a real-time signal has no name
        return f"signal {int(number)}"


def _written(place: Place) -> list[Any]:
    return [place.file, place.line, place.function]


def _read(box: IO[bytes], offset: int) -> list[Any] | None:
    data = os.pread(box.fileno(), SLOT_BYTES, offset).strip(b"\0 ")
    try:
        values: list[Any] = json.loads(data)
    except ValueError:  # never written, or the writer died over it
        return None
    return values
