"""One worker process: started, listened to, ended with everything it started."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO

from traindoctor.codec import dumps
from traindoctor.probing.events import LoadFailed, Progress, RunEnded
from traindoctor.worker.job import Job
from traindoctor.worker.messages import Message, Ready, from_line

COMMAND = (sys.executable, "-m", "traindoctor.worker")
TAIL_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024
MOST_LINE = 1 << 25  # bytes of one message
TICK_SECONDS = 0.1
DUMP_SECONDS = 1.0  # what a hung process gets to write down where it hangs
GRACE_SECONDS = 5.0  # what the user's own exit handlers get, once everything is said


class WorkerProcess:
    """A worker in a session of its own, so that a signal to it reaches its children too.

    Its stdin is empty; its stdout and stderr are read here and shown nowhere unless
    `on_output` shows them; messages have a pipe of their own.
    """

    def __init__(
        self,
        job: Job,
        *,
        timeout: float,
        on_output: Callable[[bytes], None],
        command: Sequence[str] = COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout, self.on_output, self.clock = timeout, on_output, clock
        self.tail = bytearray()
        self.has_hung = False
        self.has_ended = False  # it said all it had to say
        self.is_garbled = False  # it said what is no message; user code may write anywhere
        self.box, self.dump = _shared_file(), _shared_file()  # closed by __exit__
        self.inbox, outbox = os.pipe()
        shared = (outbox, self.box.fileno(), self.dump.fileno())
        self.process = subprocess.Popen(
            [*command, *map(str, shared)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=shared,
            start_new_session=True,
        )
        os.close(outbox)
        assert self.process.stdin
        assert self.process.stdout
        self.output = self.process.stdout.fileno()
        os.set_blocking(self.inbox, False)
        os.set_blocking(self.output, False)
        with suppress(BrokenPipeError):  # it is dead already, which `messages` will see
            self.process.stdin.write(dumps(job).encode())
        self.process.stdin.close()

    def messages(self) -> Iterator[Message]:
        """Yield what the worker says until it ended, died or hung."""
        watch = _Patience(self.timeout, self.clock)
        lines = _Lines()
        with selectors.DefaultSelector() as selector:
            selector.register(self.inbox, selectors.EVENT_READ)
            selector.register(self.output, selectors.EVENT_READ)
            while not (self.has_ended or self.has_hung):
                is_dead = self.process.poll() is not None
                selector.select(0 if is_dead else TICK_SECONDS)
                heard = _read(self.inbox)
                try:
                    for message in lines.feed(heard):
                        watch.listen(message)
                        self.has_ended = isinstance(message, RunEnded | LoadFailed)
                        yield message
                except ValueError:
                    self.is_garbled = True
                    return
                printed = _read(self.output)
                self._keep(printed)
                if is_dead and not heard and not printed:
                    return
                self.has_hung = watch.is_over()

    def end(self) -> None:
        """Give the worker its chance to say where it hangs or to leave by itself; then kill it."""
        if self.has_ended:
            self._await_exit()
        elif self.has_hung:
            self._ask_where()
        self._kill()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdout
        self._kill()
        self.process.stdout.close()
        os.close(self.inbox)
        self.box.close()
        self.dump.close()

    def crash_dump(self) -> str:
        """Return what faulthandler wrote."""
        return os.pread(self.dump.fileno(), 1 << 20, 0).decode("utf-8", "backslashreplace")

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # it and all its children have gone
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        while printed := _read(self.output):
            self._keep(printed)

    def _await_exit(self) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            self._keep(_read(self.output))  # a full pipe would hold it up
            time.sleep(TICK_SECONDS / 10)

    def _ask_where(self) -> None:
        os.kill(self.process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + DUMP_SECONDS
        while not self.crash_dump() and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS / 10)
        time.sleep(TICK_SECONDS)  # for the rest of the dump

    def _keep(self, printed: bytes) -> None:
        if printed:
            self.on_output(printed)
            self.tail += printed
            del self.tail[:-TAIL_BYTES]


def _shared_file() -> IO[bytes]:
    """Return a file without a name; in memory where there is such a thing: a disk may be full."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("traindoctor"), "w+b")
    return tempfile.TemporaryFile()


class _Patience:
    """Tells a worker that is busy from one that hangs."""

    def __init__(self, timeout: float, clock: Callable[[], float]) -> None:
        self.timeout, self.clock = timeout, clock
        self.since: float | None = None  # the user's time starts when the worker is ready
        self.done = -1

    def listen(self, message: Message) -> None:
        """Take a message as a sign of life; progress is one only where something got done."""
        if isinstance(message, Progress):
            if message.done <= self.done:
                return
            self.done = message.done
        else:
            self.done = -1
        if self.since is not None or isinstance(message, Ready):
            self.since = self.clock()

    def is_over(self) -> bool:
        waited = 0.0 if self.since is None else self.clock() - self.since
        return bool(self.timeout) and waited > self.timeout


class _Lines:
    """Puts lines together from the pieces that a pipe gives."""

    def __init__(self) -> None:
        self.rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        whole: list[bytes] = []
        if b"\n" in data:
            *whole, data = (bytes(self.rest) + data).split(b"\n")
            self.rest.clear()
        self.rest += data
        if len(self.rest) > MOST_LINE:
            raise ValueError("no message is that long")
        return (from_line(line) for line in whole)


def _read(end: int) -> bytes:
    try:
        return os.read(end, CHUNK_BYTES)
    except BlockingIOError:
        return b""
