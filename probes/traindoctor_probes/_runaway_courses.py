"""Tells a loss that runs away, upwards or below zero, from one that is noisy or merely falls."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from traindoctor_probes._courses import Course

LARGE, BOUNDLESS = 1e3, 1e6  # times the size of the first loss, or 1
FASTER = 5  # times as many steps for the second as for the first, at most
WINDOW = 5  # pulses that make a level at the end


@dataclass(frozen=True, slots=True)
class Options:
    """When a rise is a divergence."""

    factor: float = 10.0  # of the end over the start
    floor_factor: float = 3.0  # of the lowest loss of the last quarter over the start
    min_steps: int = 24
    window: int = 5  # pulses that make a level
    # Runs at 250 to 1000 times their rate stood so far above their start for 6 to 15 % of their
    # steps, and ended at half of it or above; no healthy one stood above 3 times its start, nor
    # above 300 times where a curriculum's task grew.
    blown_factor: float = 1e5
    blown_share: float = 0.03
    blown_end: float = 0.3  # of the end over the first loss, at least: else it learned all the same
    least_start: float = 1e-3  # a student that begins as its teacher has next to no loss at first


def diverges(course: Course, options: Options) -> bool:
    """Tell a course that ends many times above its start, and does not come down any more."""
    window = options.window
    start, end = course.level(0, window), course.level(-window)
    if not math.isfinite(start):
        return False
    last_quarter = course.losses[-max(len(course.losses) // 4, window) :]
    highest = max(filter(math.isfinite, course.losses))
    climbs = highest >= options.floor_factor * start  # else it became NaN from one step to the next
    lowest = min(last_quarter)
    return climbs and end >= options.factor * start and lowest >= options.floor_factor * start


def blows_up(course: Course, options: Options) -> bool:
    """Tell a course that stands far above its start for a part of the run, wherever it ends.

    The start is its first loss, as the next ones may be thrown off already, or its usual one where
    that is larger, as the first may be small by chance.
    """
    window, first = options.window, course.losses[0]
    levels = [course.level(n, n + window) for n in range(len(course.losses) - window + 1)]
    least = options.blown_factor * max(first, course.level(0))
    num_blown = sum(least <= level < math.inf for level in levels)
    return (
        first >= options.least_start
        and num_blown >= max(window, options.blown_share * len(levels))
        and levels[-1] >= options.blown_end * first
    )


def falls_without_bound(course: Course) -> bool:
    """Tell a loss that ends a million times its size below zero, or in NaN, and fell ever faster.

    A density that sharpens falls by the logarithm, a critic that is not held steadily: a million
    takes that a thousand times as many steps as a thousand does, and even what speeds up evenly 32
    times. A log-likelihood whose sign is turned took 1.2 times as many.
    """
    falls = [(n, x) for n, x in zip(course.steps, course.losses, strict=True) if math.isfinite(x)]
    size = _size(course)

    def steps_to(factor: float) -> float:
        return next((n + 1 for n, loss in falls if loss <= -factor * size), math.inf)

    is_far = statistics.median(loss for _, loss in falls[-WINDOW:]) <= -BOUNDLESS * size
    return is_far and steps_to(BOUNDLESS) <= FASTER * steps_to(LARGE)


def falls_far(course: Course) -> bool:
    """Tell a loss that came a thousand times its size below zero: more steps may lead on."""
    return min(course.losses) <= -LARGE * _size(course)


def _size(course: Course) -> float:
    return max(abs(course.losses[0]), 1.0)
