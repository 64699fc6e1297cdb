"""Runs on with one thing changed at a time, until the loss no longer rises."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import LongRun
from traindoctor.probing import Ask
from traindoctor.trace import Trace
from traindoctor_probes._courses import Course, only_course

RAISED = 2.0  # times the first learning rate
Changed = Callable[[], Course | None]


@dataclass(frozen=True, slots=True)
class CourseTrial:
    """The same run with one thing changed.

    Attributes:
        change: in words that begin with "with" or "without".
        course: what became of it.
        heals: it does not end above where it began, nor is it ill otherwise.
        blamed_on: the rules that report what was changed; None where any may.
    """

    change: str
    course: Course
    heals: bool
    blamed_on: tuple[str, ...] | None = None


def trials(
    ask: Ask, run: Trace, window: int, is_ill: Callable[[Course], bool]
) -> Iterator[CourseTrial]:
    """Yield the run with one thing changed at a time, up to the change that heals it.

    Args:
        ask: answers experiments.
        run: the run whose loss rises.
        window: pulses that make a level.
        is_ill: tells a course that comes down again from one that never rose.
    """
    changes: tuple[tuple[str, Changed, tuple[str, ...] | None], ...] = (
        ("without weight decay", partial(_undecayed, ask, run), ("TD412",)),
        ("without the schedule", partial(_unscheduled, ask, run), None),
        ("with the learning rate times 0.1", partial(_lower, ask, run, 0.1), None),
        ("with the learning rate times 0.01", partial(_lower, ask, run, 0.01), None),
    )
    for change, changed, blamed_on in changes:
        course = changed()
        if course is not None:
            heals = not _rises(course, window) and not is_ill(course)
            yield CourseTrial(change, course, heals, blamed_on)
            if heals:
                return


def _rises(course: Course, window: int) -> bool:
    """Tell whether a run ends above where it began."""
    if len(course.losses) < 2 * window:
        return True
    return not course.level(-window) <= 1.5 * course.level(0, window)


def _undecayed(ask: Ask, run: Trace) -> Course | None:
    """Return the course without weight decay, if a step of it takes more than all of a weight."""
    factors = (
        rate * decay
        for row in run.optimizers
        for rate, decay in zip(row.learning_rates, row.weight_decays, strict=False)
    )
    return _without("weight decay", ask) if max(factors, default=0.0) > 1 else None


def _unscheduled(ask: Ask, run: Trace) -> Course | None:
    """Return the course at the rate that the run begins with, if it is another in the end."""
    first, last = (
        max(rates, default=0.0)
        for rates in (run.pulses[0].first_learning_rates, run.pulses[-1].last_learning_rates)
    )
    return _without("the schedule", ask) if last > RAISED * first else None


def _without(change: str, ask: Ask) -> Course | None:
    try:
        return only_course(ask(LongRun(without=change)))
    except ExperimentFailed:
        return None


def _lower(ask: Ask, run: Trace, factor: float) -> Course | None:
    """Return the course at another rate, or None where that rate could not be set."""
    try:
        other = ask(LongRun(factor=factor))
    except ExperimentFailed:
        return None
    rates = [trace.pulses[0].first_learning_rates for trace in (run, other) if trace.pulses]
    is_set = len(rates) == 2 and all(
        math.isclose(b, a * factor, rel_tol=1e-3) for a, b in zip(*rates, strict=False)
    )
    return only_course(other) if is_set and rates[0] else None
