"""Runs the command line in a bad world, and looks for what it may have left in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema

COMMAND = (sys.executable, "-m", "traindoctor")
SCHEMA = json.loads(files("traindoctor.report").joinpath("schema.json").read_text())
TOKEN = "HOSTILE_TEST_OF"  # in the environment of all that a test has started
CODES = {0, 1, 2, 5}  # of a run that nobody ended from outside


def started(
    words: Sequence[str], folder: Path, token: str = "", **more: Any
) -> subprocess.Popen[bytes]:
    """Start the command line; its temporary files go to a folder beside."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    environment |= {TOKEN: token or str(folder)} | more.pop("env", {})
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [*COMMAND, *words], cwd=folder, env=environment, start_new_session=True, **streams | more
    )


def ran(
    words: Sequence[str], folder: Path, timeout: float = 180, **more: Any
) -> tuple[int, str, str]:
    """Run the command line to its end; return the exit code, and what it has written."""
    with started(words, folder, **more) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return (
        process.returncode,
        (out or b"").decode(errors="replace"),
        (err or b"").decode(errors="replace"),
    )


def valid(text: str) -> dict[str, Any]:
    """Return a report that fits the schema."""
    report: dict[str, Any] = json.loads(text)
    jsonschema.validate(report, SCHEMA)
    return report


def is_calm(err: str) -> bool:
    """Tell whether what was said on stderr is no confession of a bug of ours."""
    return "this is a bug in traindoctor" not in err and "src/traindoctor" not in err


def left_behind(folder: Path, token: str = "", patience: float = 10.0) -> list[str]:
    """Name processes and temporary files of a test that are still there after a moment."""
    deadline = time.monotonic() + patience
    while (found := _processes(token or str(folder))) and time.monotonic() < deadline:
        time.sleep(0.05)
    temporary = folder / "temporary"
    return found + [str(path) for path in temporary.rglob("*") if path.is_file()]


def _processes(token: str) -> list[str]:
    wanted = f"{TOKEN}={token}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_dead = b"State:\tZ" in (entry / "status").read_bytes()
            if not is_dead and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended meanwhile
            continue
    return found
