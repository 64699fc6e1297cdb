"""Tells a watched run whose loss never came below what guessing costs."""

from __future__ import annotations

import math

from traindoctor.experiments.floors import floor_of
from traindoctor.probing.wording import figure
from traindoctor.trace import Trace
from traindoctor_probes._courses import Course

ENOUGH = 40  # steps, in which a loss that is lowered at all comes down by more than that
LEARNED, ABOVE = 0.995, 1.2  # times what guessing costs: below it is learned, above it is not known
EQUAL = 0.005  # of ln 2, within which a hand-written comparison of two has told nothing


def learned_nothing(course: Course, step: Trace) -> str:
    """Return why it cannot be said that a run learned; nothing where it may have.

    Args:
        course: of the run.
        step: its first step, with the loss functions that were called.
    """
    quarter, num_steps = len(course.losses) // 4, course.rows[-1].last_step + 1
    if num_steps < ENOUGH or not quarter:
        return ""
    levels = [course.level(n * quarter, (n + 1) * quarter) for n in range(4)]
    known = [row for row in step.criteria if row.value is not None]
    guess = floor_of(step.criteria, course.losses[0]).guess if known else math.log(2)
    is_near = (
        all(LEARNED * guess <= level <= ABOVE * guess for level in levels[2:])
        if known
        else all(abs(level / guess - 1) <= EQUAL for level in levels)
    )
    if not is_near:
        return ""
    return (
        f"the loss is {figure(levels[-1])} after {num_steps:,} steps, and guessing costs "
        f"{figure(guess)}: nothing is learned yet"
    )
