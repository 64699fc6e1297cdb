"""Records warnings with the user's own line, each once, counted."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from traindoctor.instruments.recorder import Recorder
from traindoctor.target.usercode import is_ours, user_place
from traindoctor.trace import Place, WarningRow

MOST_KINDS = 200  # of warnings that are told apart


@contextmanager
def warnings_overheard(recorder: Recorder) -> Iterator[None]:
    """Record the warnings that are shown while inside; they are shown as they would be."""
    original = warnings.showwarning
    found: dict[tuple[str, str, Place], int] = {}

    def show(message: Any, category: type[Warning], *args: Any, **kwargs: Any) -> None:
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
        original(message, category, *args, **kwargs)

    warnings.showwarning = show
    try:
        yield
    finally:
        if warnings.showwarning is show:
            warnings.showwarning = original


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
