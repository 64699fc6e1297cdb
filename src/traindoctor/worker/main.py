"""A worker: loads the target, runs probes over it, and streams what they find."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from traindoctor.codec import loads
from traindoctor.errors import TargetError, words_of
from traindoctor.probing.events import Event, LoadFailed, RunEnded
from traindoctor.target.usercode import raised_place
from traindoctor.worker.blackbox import Deed, Recorder
from traindoctor.worker.job import Job
from traindoctor.worker.messages import Message, Ready, to_line


def main() -> None:
    """Do the job that stands on stdin; the arguments are three inherited descriptors."""
    outbox, box, dump = (int(text) for text in sys.argv[1:4])
    job = loads(Job, sys.stdin.buffer.read())
    _shield(outbox, box, dump)
    sys.argv = [job.reference or job.model or ""]
    recorder = Recorder(box, dump)
    recorder.install()

    def send(message: Message) -> None:
        line = memoryview(to_line(message))
        while line:
            line = line[os.write(outbox, line) :]

    try:
        import torch  # noqa: F401  its second or two is ours, not the user's

        send(Ready())
        examine(job, send)
    except BaseException as error:
        recorder.note(_last_words(error))
        raise


def examine(job: Job, send: Callable[[Event], None]) -> None:
    """Load the target and run the job's probes over it."""
    from traindoctor.experiments import Lab
    from traindoctor.probing.announce import announce
    from traindoctor.probing.registry import all_probes
    from traindoctor.probing.runner import run_probes
    from traindoctor.target.reference import load

    try:
        setup = load(job.reference, job.arguments, job.model, job.data)
    except TargetError as error:
        send(LoadFailed(message=str(error), details=error.details))
        return
    send(announce(setup))
    run_probes(
        [probe for probe in all_probes() if probe.name in job.probes],
        Lab(setup, restore=job.restore, overrides=job.experiment_settings),
        rules=frozenset(job.rules),
        emit=send,
        options=job.options,
        unavailable=job.unavailable,
        silent=job.silent,
        budget=job.budget,
    )
    send(RunEnded())


def _shield(*descriptors: int) -> None:
    """Keep our descriptors from the user's child processes, and the terminal from the user."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  it lives as long as the process
    stream: Any
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _last_words(error: BaseException) -> Deed:
    words = words_of(error).splitlines()[:1]
    is_the_users = isinstance(error, SystemExit | KeyboardInterrupt | MemoryError)
    return Deed(
        what=f"raised {type(error).__name__}" + (f"({words[0]:.200})" if words else ""),
        place=raised_place(error.__traceback__),
        is_ours=not is_the_users,
    )
