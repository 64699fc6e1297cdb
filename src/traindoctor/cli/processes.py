"""A script that is watched as several processes: how they are started, and how they ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from traindoctor.errors import UsageError

LEAST_MOST, MOST_PER_CORE = 8, 4  # processes on one machine


def check_number(number: int | None) -> None:
    """Refuse a number of processes that makes no sense.

    Raises:
        UsageError: with the numbers that do.
    """
    if number is None:
        return
    most = max(LEAST_MOST, MOST_PER_CORE * (os.cpu_count() or 1))
    if not 1 <= number <= most:
        raise UsageError(f"--nproc takes 1 to {most} processes on this machine, not {number}")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise UsageError("torchrun has started this process already; leave out --nproc")
    if find_spec("torch") is None:
        raise UsageError(f"--nproc needs torch, which {sys.executable} does not have")


def engine(number: int) -> list[str]:
    """Return the module that starts so many processes of another, with its arguments.

    They meet at the loopback address: the name of this machine need not be known to anybody.
    """
    where = ["--standalone", "--local-addr", "127.0.0.1"]
    return ["torch.distributed.run", *where, "--nproc-per-node", str(number), "-m"]


@contextmanager
def termination_noted() -> Iterator[list[int]]:
    """Collect the signals that ask this process to end: a report is to be written yet.

    torchrun asks every process to end when one of them has failed.
    """
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
