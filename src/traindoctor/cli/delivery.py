"""Where a report goes: stdout or a file, and copies in other formats."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from traindoctor.cli.streams import silence
from traindoctor.config import Config
from traindoctor.errors import UsageError, nearest
from traindoctor.report.record import Report
from traindoctor.report.renderers import ENDINGS, render
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.page import harmless

MOST_COLUMNS = 120
_NEEDED = "✓✗–·❱×→⣿"


class Delivery:
    """The outputs that a configuration asks for.

    Raises:
        UsageError: a file's ending names no format.
    """

    def __init__(self, config: Config, verbosity: int, stream: TextIO | None = None) -> None:
        self.verbosity = verbosity
        self.stream = stream or sys.stdout  # what is not written to a file
        self.form = config.format
        self.files = {path: _form_of(path) for path in config.report}
        self.output = config.output
        if config.output is not None:
            self.files[config.output] = config.format or _form_of(config.output)

    def check(self) -> None:
        """Refuse, before anything runs, what could not be written.

        Raises:
            UsageError: it names the file and what is in the way.
        """
        for path in self.files:
            folder = path.parent
            if not folder.is_dir():
                raise UsageError(f"cannot write {path}: there is no folder {folder}")
            if path.is_dir():
                raise UsageError(f"cannot write {path}: it is a folder")
            if not os.access(path if path.exists() else folder, os.W_OK):
                raise UsageError(f"cannot write {path}: permission denied")

    def deliver(self, report: Report, *, is_told: bool = False) -> bool:
        """Write everything; what cannot be written goes to stdout, and the answer is False.

        Args:
            report: the report.
            is_told: stderr said it all, so that text on stdout would say it twice.
        """
        lost = [form for path, form in self.files.items() if not self._write(report, path, form)]
        form = self.form or "text"
        is_shown = self.output is None and not (is_told and form == "text")
        shown = [form, *lost] if is_shown else lost
        printed = [_print(report, form, self.verbosity, self.stream) for form in shown]
        return all(printed) and not lost

    def _write(self, report: Report, path: Path, form: str) -> bool:
        text = render(report, form, Look(verbosity=self.verbosity))
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            print(f"traindoctor: cannot write {harmless(str(path))}: {reason}", file=sys.stderr)
            return False
        return True


def _form_of(path: Path) -> str:
    form = ENDINGS.get(path.suffix.lower())
    if form is None:
        hint = nearest(path.suffix or path.name, list(ENDINGS))
        raise UsageError(f"the ending of {path} names no format{hint}")
    return form


def _print(report: Report, form: str, verbosity: int, stream: TextIO) -> bool:
    """Write to a stream: text as the terminal can show it, machine formats as UTF-8.

    Returns whether it could be written. Whoever has left, as `| head` does, has read enough.
    """
    look = _look(verbosity, stream)
    encoding = (stream.encoding or "ascii") if form == "text" else "utf-8"
    octets = render(report, form, look).encode(encoding, "backslashreplace")
    try:
        stream.buffer.write(octets)
        stream.buffer.flush()
    except BrokenPipeError:
        silence()
    except OSError as error:
        reason = error.strerror or str(error)
        with suppress(OSError):
            print(f"traindoctor: cannot write to {stream.name}: {reason}", file=sys.stderr)
        silence()
        return False
    return True


def print_text(make: Callable[[Look], str]) -> None:
    """Write text to stdout as the terminal there can show it."""
    text = make(_look(0, sys.stdout))
    sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "ascii", "backslashreplace"))
    sys.stdout.buffer.flush()


def _look(verbosity: int, stream: TextIO) -> Look:
    is_terminal = stream.isatty()
    is_plain = "NO_COLOR" in os.environ or "CI" in os.environ or os.environ.get("TERM") == "dumb"
    columns = min(shutil.get_terminal_size().columns, MOST_COLUMNS) if is_terminal else 80
    return Look(
        width=columns,
        color=is_terminal and not is_plain,
        unicode=_can_show(stream.encoding or "ascii"),
        verbosity=verbosity,
    )


def _can_show(encoding: str) -> bool:
    try:
        _NEEDED.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
