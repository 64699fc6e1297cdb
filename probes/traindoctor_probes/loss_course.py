"""Does the loss rise instead of falling?

## What it measures
The losses of a longer run, as they were differentiated, in order: their level at the start, at the
end, and how that end came about; or that they stood a hundred thousand times above the start for
more than a few of the run's steps, and came down to about where it began. Rises where a new loader
is first read, or where a long pass over one begins, are taken back: there the task changes, not the
weights.

Where it can be had, the same run at a tenth and a hundredth of the learning rate; before that,
without weight decay where a step would take more than all of the weights away, and without the
schedule where that raises the rate.

Of a watched run of forty steps or more, whether the loss ever came below what guessing costs: ln C
for C classes, ln 2 for two scores that are compared. One that did not is called no fault, for more
steps may help; but the run is not called healthy.

## Why it matters
What is learned in the first steps is lost again. The run ends far above where it began, or in NaN,
and no later step brings it back.

## Known limits
Not judged are losses that change their sign, several optimizers, LBFGS (its losses are those of
trial points) and losses that a gradient scaler has multiplied: such losses rise in healthy runs.
Batches that no loader gave are judged only where the losses stood a hundred thousand times above
the start, and not where the source speaks of rewards, as reinforcement learning does. Where the
same run cannot be had at a lower rate, as in a watched script, a task that grows harder within a
pass, as a stream may, looks the same, and the finding is likely at most. With passes of fewer than
ten steps, what is changed in a data set between two is not told from a divergence; a new loader is.

## References
Smith, "Cyclical Learning Rates for Training Neural Networks", 2017: the range test.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from functools import partial

from traindoctor.errors import CannotJudge
from traindoctor.experiments import Experiment, LongRun, OneStep, ReadSource
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.syntax import at, last_name, subtrees
from traindoctor.probing.wording import counted, figure, first_location
from traindoctor.trace import Place, SourceRow, Trace
from traindoctor_probes._course_trials import RAISED, CourseTrial, trials
from traindoctor_probes._courses import Course, only_course
from traindoctor_probes._guessing import learned_nothing
from traindoctor_probes._runaway_courses import Options, blows_up, diverges

# What programs of reinforcement learning call things.
REWARDED = re.compile(r"reward|advantage|bellman|policy|\b(envs?|gym|gymnasium)\b", re.IGNORECASE)

DIVERGES = Rule(
    code="TD105",
    name="diverging-loss",
    severity=Severity.ERROR,
    title="The loss rises from {start} to {end} in {num_steps}",
    what="Over a longer run the loss climbs to many times where it began, and stays there, or "
    "stands a hundred thousand times above it for some of the run.",
    why="Each step makes the model worse: what was learned is lost.",
    known_limits="Judged on losses above zero, of one optimizer, over batches that a loader gave; "
    "without one only where they stand a hundred thousand times above the start.",
    remedies=(
        Remedy(
            "Lower the learning rate",
            recommended=True,
            pros="Where the finding names a rate, it was tried in the same run.",
        ),
        Remedy(
            "Clip the gradient's norm",
            pros="Keeps single steps from throwing the weights far off.",
            cons="Slows a divergence down whose every step is a little too large.",
            after="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        ),
    ),
    explains=("TD102", "TD203", "TD205", "TD418", "TD6"),
)


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Look at the course of a longer run; where it diverges, try lower rates."""
    run = ask(LongRun())
    run.require(backwards=1)
    course = only_course(run)
    if course is None or len(course.losses) < options.min_steps or min(course.losses) <= 0:
        return
    own = course.without_jumps(options.window)
    stays, is_blown = diverges(own, options), blows_up(own, options)
    if not (stays or is_blown):
        reason = learned_nothing(course, ask(OneStep())) if run.setup.kind == "script" else ""
        if reason:
            raise CannotJudge(reason, leaves_open=True)
        return
    if not is_judged(ask, run, is_blown):
        return
    tried = list(trials(ask, run, options.window, partial(blows_up, options=options)))
    healed = tried[-1] if tried and tried[-1].heals else None
    if tried and healed is None:
        return  # it rises at any rate: something else is the reason
    yield diverging(run, course, healed, ask(ReadSource()).source, options.window, stays)


def is_judged(ask: Ask, run: Trace, is_blown: bool) -> bool:
    """Tell losses that have no business to rise: of batches from a loader, and not scaled."""
    source = ask(ReadSource()).source
    if not any(row.num_batches for row in run.pulses) and not (
        is_blown and source and not any(REWARDED.search(row.text) for row in source)
    ):
        return False
    if run.setup.has_train_loop or run.setup.has_train_step or not run.setup.has_scaler:
        return not any("GradScaler" in row.text for row in source)
    return True


def diverging(
    run: Trace,
    course: Course,
    healed: CourseTrial | None,
    source: tuple[SourceRow, ...],
    window: int,
    stays: bool,
) -> Finding:
    """Return the finding, with the run at the rate that healed it."""
    start = course.level(0, window) if stays else course.losses[0]
    end = course.level(-window)
    lowest = min(course.losses)
    highest = max(filter(math.isfinite, course.losses))
    top = end if stays else highest
    turned = course.rows[-1 if stays else course.losses.index(highest)]
    rate = max(course.rows[0].first_learning_rates, default=0.0)
    last_rate = max(turned.last_learning_rates, default=0.0)
    steps = course.rows[-1].last_step + 1
    evidence = [
        Evidence("loss at the end", end, f"<= {figure(start)}"),
        Evidence("lowest loss", lowest),
        *([] if stays else [Evidence("highest loss", highest)]),
        Evidence(
            f"learning rate, first and {'last' if stays else 'where the loss is highest'}",
            f"{figure(rate)}, {figure(last_rate)}",
        ),
    ]
    series = [course.series("loss")]
    cure = ""
    if healed is not None:
        begun, ended = healed.course.level(0, window), healed.course.level(-window)
        cure = (
            f" {healed.change.capitalize()} the same run goes from {figure(begun)} to "
            f"{figure(ended)}."
        )
        evidence.append(Evidence(f"loss at the end {healed.change}", ended))
        series.append(healed.course.series(f"loss {healed.change}"))
    is_raised = last_rate > RAISED * rate
    back = "" if stays else f", and ended at {_said(end)}"
    rising = f" as the rate rose from {figure(rate)} to {figure(last_rate)}" if is_raised else ""
    schedules = schedule_lines(source) if is_raised else []
    built = [row.place for row in run.optimizers]
    return DIVERGES.finding(
        f"Over {counted(steps, 'step')} the loss went from {figure(start)}, with "
        f"{figure(lowest)} at its lowest, to {_said(top)}{rising}{back}.{cure}",
        confidence=None if healed is not None else Confidence.LIKELY,
        mechanism="A step is right where the gradient was taken. One that reaches across the "
        "valley ends higher than it began, with a larger gradient, and the next one is larger yet.",
        location=first_location([*schedules, *built, run.setup.factory]),
        evidence=evidence,
        series=series,
        blamed_on=None if healed is None else healed.blamed_on,
        start=figure(start),
        end=_said(top),
        num_steps=counted(steps, "step"),
    )


def _said(level: float) -> str:
    return figure(level) if math.isfinite(level) else "NaN"


def schedule_lines(source: tuple[SourceRow, ...]) -> list[Place]:
    """Return the line that builds a schedule of the learning rate, if there is one alone."""
    found = [
        at(row, node)
        for row in source
        for node in subtrees(row, ast.Call)
        if re.search(r"[a-z]LR$|_schedule(_|$)", last_name(node.func))
    ]
    return found if len(found) == 1 else []


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first; lower rates follow where the loss rises."""
    return (LongRun(),)


probe = Probe(
    name="loss-course",
    doc=__doc__,
    rules=(DIVERGES,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
