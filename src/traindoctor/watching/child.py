"""Runs the watched process as the script would be run: its terminal, its signals, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from traindoctor.codec import dumps
from traindoctor.watching.orders import Orders

TICK_SECONDS = 0.1
ENDING = (signal.SIGINT, signal.SIGTERM)
PATIENCE_SECONDS = 10.0  # for a script that was asked to end


class Child:
    """A watched process. Standard streams, environment and working directory are inherited.

    Args:
        orders: what it is told.
        engine: the module that starts several of it, with its arguments; without one it is one.
    """

    def __init__(self, orders: Orders, engine: Sequence[str] = ()) -> None:
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        modules = [*(["-m"] if engine else []), *engine]
        command = [*flags, *(modules or ["-m"]), "traindoctor.watching", dumps(orders)]
        self.process = subprocess.Popen([sys.executable, *command])
        self.was_stopped = self.was_asked = False  # to end: by us, by anybody

    def wait(self, on_tick: Callable[[], None]) -> int:
        """Wait until it ends, and return its status; negative for a signal.

        Signals that ask us to end are passed on; what a terminal sends it has got already.
        """
        with self._passing_signals_on():
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return self.process.wait(TICK_SECONDS)
                on_tick()

    def stop(self) -> None:
        """Ask the script to end, as Ctrl-C would; then make it."""
        self.was_stopped = self.was_asked = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            self.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE_SECONDS)

    @contextmanager
    def _passing_signals_on(self) -> Iterator[None]:
        at_terminal = any(os.isatty(number) for number in (0, 1, 2) if _is_open(number))

        def pass_on(number: int, _: FrameType | None) -> None:
            self.was_asked = self.was_asked or number in ENDING
            is_from_keyboard = number in (signal.SIGINT, getattr(signal, "SIGQUIT", None))
            if not (at_terminal and is_from_keyboard):
                with suppress(ProcessLookupError):
                    self.process.send_signal(number)

        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before = {number: signal.signal(number, pass_on) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def die_of(number: int) -> None:
    """End this process by the signal that ended the script, without a core of ours."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    os.kill(os.getpid(), number)
    time.sleep(1)  # a signal that does not end us


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
