"""Joins runs of one script, each of which went on where the one before had ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from traindoctor.probing.events import Event, ExperimentEnded, FindingMade
from traindoctor.probing.finding import Evidence
from traindoctor.trace import PulseRow, Trace
from traindoctor.watching.archive import Archive
from traindoctor.watching.judge import Bench, run_curve, with_others


def judged_together(bench: Bench, archives: Sequence[Archive], reference: str) -> list[Event]:
    """Return what is to be said of runs in the order in which they went on from each other.

    The last one is told as a run is; what was found in those before it stands beside that, and
    steps and curves are those of all.
    """
    *before, last = archives
    for earlier, later in zip(before, archives[1:], strict=True):
        later.goes_on_from(as_it_ended(earlier.run))
    events = bench.judge(last, reference)
    for number, archive in enumerate(before, start=1):
        found = [e for e in bench.judge(archive, reference) if isinstance(e, FindingMade)]
        events = with_others(events, found, Evidence("run", f"number {number} of {len(archives)}"))
    if not before:
        return events
    return [_of_all(event, [archive.run for archive in archives]) for event in events]


def as_it_ended(run: Trace) -> dict[str, Any]:
    """Return what the run that goes on from another is compared with."""
    first = _pulses(run)
    return {
        "num_steps": run.num_steps,
        "loss": first[-1].loss if first else None,
        "schedulers": run.schedulers,
    }


def _of_all(event: Event, runs: Sequence[Trace]) -> Event:
    """Give what is told of the last run the steps and the curve of all."""
    if not isinstance(event, ExperimentEnded) or event.name != "watched-run":
        return event
    curve: dict[str, list[float | None]] = {}
    gone = 0
    for run in runs:
        own = run_curve(run)
        for name, values in own.items():
            is_step = name == "x"
            curve.setdefault(name, []).extend(
                value + gone if is_step and value is not None else value for value in values
            )
        gone += max((row.last_step + 1 for row in _pulses(run)), default=0)
    steps = [run.num_steps for run in runs]
    more = {"run_curve": curve, "steps_of_runs": steps}
    return replace(event, steps=sum(steps), measurements=event.measurements | more)


def _pulses(run: Trace) -> list[PulseRow]:
    return [row for row in run.pulses if row.optimizer == 0]
