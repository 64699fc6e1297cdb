"""What the watched process is told, as plain data on its command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How to run a script and how to watch it.

    Attributes:
        script: a path, or with `is_module` a module's name as after `python -m`.
        arguments: the script's own.
        is_module: the script is a module.
        trace: the file that the trace is written to.
        budget: share of the run's time that instruments may take once it is under way.
        watcher: the process that starts it and is its parent; 0 where others are in between.
        verify: the command that looks for one fault again, for the report.
    """

    script: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False
    trace: str
    budget: float = 0.02
    watcher: int = 0
    verify: str = ""
