"""Records warnings with the user's own line, each once, counted."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from traindoctor.instruments.recorder import Recorder
from traindoctor.target.usercode import is_ours, user_place
from traindoctor.trace import Place, WarningRow

MOST_KINDS = 200  # of warnings that are told apart


@contextmanager
def warnings_overheard(recorder: Recorder) -> Iterator[None]:
    """Record the warnings that are shown while inside; they are shown as they would be.

    One that names a line of ours, where a function of torch's is called in place of the program, is
    given again for the program's line, as often as its filters say.
    """
    original = warnings.showwarning
    found: dict[tuple[str, str, Place], int] = {}

    def show(
        message: Any, category: type[Warning], filename: str, *args: Any, **kwargs: Any
    ) -> None:
        caller = _caller(sys._getframe(1)) if is_ours(filename) else None
        if caller is not None:
            _give_again(message, category, caller)
            return
        key = (category.__name__, str(message), user_place(sys._getframe(1)))
        if key not in found and len(found) < MOST_KINDS:
            found[key] = len(recorder.warnings)
            kind, text, place = key
            recorder.warnings.append(
                WarningRow(category=kind, message=text[:1000], place=place, count=0)
            )
        if key in found:
            row = recorder.warnings[found[key]]
            recorder.warnings[found[key]] = replace(row, count=row.count + 1)
        original(message, category, filename, *args, **kwargs)

    warnings.showwarning = show
    try:
        yield
    finally:
        if warnings.showwarning is show:
            warnings.showwarning = original


def _caller(frame: FrameType | None) -> FrameType | None:
    """Return who called the function of torch's that a frame of ours calls for it.

    In between are torch's dispatch to us, and the same function, which asked for that.
    """
    called = None
    while frame is not None and not is_ours(frame.f_code.co_filename):
        called, frame = frame.f_code, frame.f_back
    if frame is not None:  # what we remember of the warning is not to keep the next one away
        frame.f_globals.pop("__warningregistry__", None)
    while frame is not None and (
        is_ours(frame.f_code.co_filename)
        or frame.f_code is called
        or frame.f_globals.get("__name__") == "torch.overrides"
    ):
        frame = frame.f_back
    return frame


def _give_again(message: Any, category: type[Warning], caller: FrameType) -> None:
    warnings.warn_explicit(
        message,
        category,
        caller.f_code.co_filename,
        caller.f_lineno,
        caller.f_globals.get("__name__"),
        caller.f_globals.setdefault("__warningregistry__", {}),
    )


@contextmanager
def warnings_seen(recorder: Recorder) -> Iterator[None]:
    """Record every warning while inside; nothing is shown, the filters come back after."""
    counts: dict[tuple[str, str, Place], int] = {}

    def show(message: Any, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
        if is_ours(filename):  # what we look at is not what the program does
            return
        key = (category.__name__, str(message), user_place(sys._getframe(1)))
        counts[key] = counts.get(key, 0) + 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        try:
            yield
        finally:
            recorder.warnings += [
                WarningRow(category=category, message=message[:1000], place=place, count=count)
                for (category, message, place), count in counts.items()
            ]
