"""A line on stderr that says what runs, how far it is and how long it will take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from traindoctor.probing.events import (
    Event,
    ExperimentEnded,
    ExperimentStarted,
    ProbeStarted,
    Progress,
    TargetLoaded,
)

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


@contextmanager
def progress(is_wanted: bool) -> Iterator[Callable[[Event], None]]:
    """Yield what takes the events; it shows nothing where stderr is no terminal."""
    if not (is_wanted and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[steps]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        yield _Line(bar, bar.add_task("loading the target", total=None, steps="")).show


class _Line:
    """The one task of the bar."""

    def __init__(self, bar: Bar, task: TaskID) -> None:
        self.bar, self.task, self.name = bar, task, ""

    def show(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, TargetLoaded):
            self._rename("target loaded")
        elif isinstance(event, ExperimentStarted):
            self._rename(event.title or event.name)
        elif isinstance(event, ProbeStarted):
            self._rename(event.name)
        elif isinstance(event, ExperimentEnded):
            self._rename("judging")
        elif isinstance(event, Progress):
            total = event.total or None
            steps = f"{event.done}/{event.total}" if total else str(event.done)
            self.bar.update(
                self.task,
                completed=event.done,
                total=total,
                description=f"{self.name}  {event.note}".rstrip(),
                steps=steps,
            )

    def _rename(self, name: str) -> None:
        self.name = name
        self.bar.reset(self.task, total=None, description=name, steps="")
