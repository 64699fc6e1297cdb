"""How a worker died, in words: what of, at which line of the user's code."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from traindoctor.trace import Place
from traindoctor.worker.blackbox import Deed, dumped_line, last_deed, last_line, signal_name
from traindoctor.worker.process import WorkerProcess

TAIL_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Obituary:
    """`cause` reads on after "the worker"; `place` is the last line of the user's code."""

    cause: str
    place: Place
    last_output: str  # the last lines that it printed
    is_ours: bool = False  # traindoctor itself failed

    def sentence(self, experiment: str = "") -> str:
        """Return the cause with its line and what ran, as in `killed by … at …, while … ran`."""
        where = ""
        if self.place:
            where = f" at {self.place.file}:{self.place.line} in {self.place.function}"
        return f"{self.cause}{where}" + (f", while `{experiment}` ran" if experiment else "")


def obituary(worker: WorkerProcess) -> Obituary:
    """Find out how a closed worker ended that did not say everything."""
    status = worker.process.returncode
    deed = last_deed(worker.box)
    dump = dumped_line(worker.crash_dump())
    if worker.is_garbled:
        cause, place = "wrote what is no message where its messages are read", Place()
    elif worker.has_hung:
        cause = f"gave no sign of life for {worker.timeout:g} s"
        place = dump
    elif deed is not None and _fits(deed, status):
        cause, place = deed.what, deed.place
    elif status < 0:
        cause = f"killed by {signal_name(-status)}"
        if status == -signal.SIGKILL:
            cause += ", as the system does when memory runs out,"
        place = dump
    else:
        cause, place = f"ended with exit status {status}", Place()
    lines = worker.tail.decode("utf-8", "backslashreplace").splitlines()
    return Obituary(
        cause=cause,
        place=place or last_line(worker.box),
        last_output="\n".join(lines[-TAIL_LINES:]),
        is_ours=deed is not None and deed.is_ours,
    )


def _fits(deed: Deed, status: int) -> bool:
    """Tell whether what the process noted is what it died of; it may have survived a signal."""
    if deed.signal_number is not None:
        return status == -deed.signal_number
    return deed.exit_status is None or status == deed.exit_status
