"""Does the learning rate suit the model?

## What it measures
How large a step is beside the weights (RMS of the update over RMS of the weights, in a short
run), what the loss does in that run and on one batch trained on again and again, and whether the
same optimizer learns that batch at another learning rate. Of a watched run, where nothing else can
be tried: whether the weights grew a thousandfold until the loss was no number, or the first step
left nothing of the weights, and the loss rose.

## Why it matters
At too high a rate each step overshoots: the loss rises, and weights wander far from where they
were initialised. At too low a rate the weights do not move within any training that is paid for.

## Known limits
One batch is learned at rates at which a whole data set is not, and the other way round. Warm-up is
left out when one batch is trained on, so a rate is called too high only if the short run, which has
the schedule, takes large steps as well, and rises unless one batch stalls. A rate is called too low
only where one batch's loss moves by less than 1 % of its way in sixty steps, or by less than 5 % in
a hundred and fifty with updates below a ten-thousandth of the weights: fine-tuning rates move it
more. A watched run is judged only in its first steps, of one optimizer, where the first was larger
than its gradient and nothing of the weights is left: if the loss then is no number, or, where that
step is half a unit or more in two layers at least, half as much again as it was. A rate that is too
high for large gradients alone is not told there, and neither is one that is too low.

## References
Karpathy: updates of about 1e-3 of the weights are healthy. Smith, "Cyclical Learning Rates", 2017.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from traindoctor.errors import CannotJudge, ExperimentFailed
from traindoctor.experiments import Experiment, OverfitBatch, ReadSource, ShortRun
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    Probe,
    Remedy,
    Rule,
    Series,
    Severity,
)
from traindoctor.probing.values import written_rates
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import Place, Trace
from traindoctor_probes._overflows import Overflow, overflow, overthrow
from traindoctor_probes._rates import (
    USEFUL_RATIO,
    both,
    compared,
    curves,
    raising_factor,
    try_rates,
    update_ratio,
)

TOO_HIGH = Rule(
    code="TD408",
    name="learning-rate-too-high",
    severity=Severity.ERROR,
    title="The learning rate {rate} is too high: {seen}",
    what="Steps are so large that the loss rises, and smaller ones learn; or that it is soon no "
    "number.",
    why="Training diverges or ends far above what it could reach.",
    known_limits="A rate that is only too high for later phases of training is not seen. Of a "
    "watched run only one is whose first step leaves nothing of the weights.",
    remedies=(
        Remedy(
            "Lower the learning rate",
            recommended=True,
            pros="A lower rate that the title names was tried on your own batch.",
        ),
        Remedy(
            "Warm it up, and clip the gradient's norm",
            pros="Keeps a high rate for the time when the model bears it.",
            cons="Does not help where the rate is too high for good.",
            after="scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=500)",
        ),
    ),
    explains=("TD102", "TD105", "TD202", "TD203", "TD204", "TD205", "TD214", "TD418", "TD6"),
)
TOO_LOW = Rule(
    code="TD409",
    name="learning-rate-too-low",
    severity=Severity.WARNING,
    title="The learning rate {rate} moves nothing: at {better} the loss falls",
    what="Steps are so small that the loss of one batch, trained on again and again, stays.",
    why="The model is practically frozen for as long as the rate stays there.",
    known_limits="Only rates at which one batch's loss does not move measurably are named.",
    remedies=(
        Remedy(
            "Raise the learning rate",
            recommended=True,
            pros="The rate named in the title was tried on your own batch.",
        ),
    ),
    explains=("TD405", "TD406", "TD6"),
)

ENOUGH_STEPS = 50  # in fewer even a fine-tuning rate may not show
STALLED = 0.25  # of the way to the floor: one batch that rests there is not learned at all
MANY_STEPS, CREPT = 150, 0.05  # a loss that came no further in so many steps hardly moves
TINY_RATIO = 1e-4  # of update to weights: fine-tuning rates are above it
_OVERSHOOTS = (
    "The gradient is the slope where the weights are. A step of the weights' own size ends where "
    "that slope says nothing, mostly higher up."
)


@dataclass(frozen=True, slots=True)
class Options:
    """What counts as too far and as no movement."""

    max_seconds: float = 10.0  # for the run with the setup's own rate; half for each other rate
    ratio: float = 0.1  # update over weights: healthy steps are a hundredth of that
    rise: float = 1.5  # peak of the loss over its start
    useful_ratio: float = USEFUL_RATIO


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Train one batch at the setup's own rate, then at another where that fails."""
    try:
        own = ask(OverfitBatch(max_seconds=options.max_seconds))
    except ExperimentFailed:  # a watched run is left as it is; its weights may tell
        run = ask(ShortRun())
        thrown = overflow(run) or overthrow(run)
        if thrown is None:
            raise
        yield too_far(thrown, written_rates(ask(ReadSource()).source))
        return
    own.require(losses=1)
    facts = own.facts["overfit"]
    rate = facts["learning_rate"]
    if not rate or facts["rates_vary"] or len(own.optimizers) > 1:
        return
    run = ask(ShortRun())
    ratio = update_ratio(run)
    if is_too_high(run, facts, ratio, options):
        tried = try_rates(ask, (0.1, 0.01, 0.001), rate, options.max_seconds / 2)
        if tried:
            yield too_high(run, own, tried, ratio)
    elif is_too_low(facts, ratio):
        start = raising_factor(ratio, options.useful_ratio)
        tried = try_rates(ask, (start, start / 10, start * 10), rate, options.max_seconds / 2)
        if tried:
            yield too_low(own, tried, ratio)
        elif facts["out_of_time"]:
            raise CannotJudge(
                f"the loss stays at {figure(facts['end'])} at {figure(rate)}, and there was no "
                f"time to see another rate learn: {facts['steps']} steps took "
                f"{facts['seconds']:.0f} s"
            )


def is_too_high(run: Trace, facts: dict[str, Any], ratio: float, options: Options) -> bool:
    """Tell whether steps are large, and one batch stalls, or is learned only past a rising run."""
    if ratio < options.ratio or not run.losses or facts["start"] is None:
        return False
    first = run.losses[0].value
    if not math.isfinite(first):
        return False
    if facts["learned"] is False and (facts["progress"] or 0.0) < STALLED:
        return True  # saturated or dead units: the loss need not rise for that
    rises = any(not row.value <= options.rise * abs(first) for row in run.losses)
    peak = math.inf if facts["course"] == "not finite" else facts["peak"]
    overshoots = peak > 2 * options.rise * abs(facts["start"])
    return rises and (facts["learned"] is not True or overshoots)


def is_too_low(facts: dict[str, Any], ratio: float) -> bool:
    """Tell whether one batch's loss stays although steps are taken, and enough of them."""
    flat = facts["course"] == "flat" and facts["learned"] is False
    enough = facts["steps"] >= ENOUGH_STEPS or ratio < 1e-6
    creeps = facts["steps"] >= MANY_STEPS and -CREPT < (facts["progress"] or 0.0) < CREPT
    tiny = creeps and facts["learned"] is not True and ratio < TINY_RATIO
    return (flat and enough and 0 < ratio < 1e-3) or (tiny and ratio > 0)


def too_high(run: Trace, own: Trace, better: Trace, ratio: float) -> Finding:
    """Return the finding for a rate that overshoots."""
    facts, other = own.facts["overfit"], better.facts["overfit"]
    values = tuple(row.value for row in run.losses)
    worst = "NaN" if any(not math.isfinite(v) for v in values) else figure(max(values))
    return TOO_HIGH.finding(
        f"Over the first {len(values)} batches the loss went from {figure(values[0])} up to "
        f"{worst}; the largest step changed the weights by {ratio:.0%} of their size. "
        f"{compared(own, better)}",
        mechanism=_OVERSHOOTS,
        location=place(own),
        evidence=[
            Evidence("largest update over weights (RMS)", ratio, "about 1e-3"),
            Evidence("highest loss of the short run", worst, f"<= {figure(values[0])}"),
            *both(facts, other),
        ],
        series=[Series("short run", tuple(range(len(values))), values), *curves(own, better)],
        remedies=remedied(TOO_HIGH, own, better),
        rate=figure(facts["learning_rate"]),
        seen=f"at {figure(other['learning_rate'])} the loss falls",
    )


def too_far(thrown: Overflow, written: Iterable[Place]) -> Finding:
    """Return the finding for a watched run whose first step left nothing of its weights."""
    first, last = thrown.sizes[0], thrown.sizes[-1]
    grown = f"{counted(len(thrown.sizes), 'step')} make the weights {figure(last / first)} times"
    start = figure(thrown.losses[0])
    is_over = not math.isfinite(thrown.losses[-1])
    return TOO_HIGH.finding(
        f"After the first step of {thrown.optimizer.class_name} at {figure(thrown.rate)} the "
        f"weights are {figure(first)} (RMS), and little else than that step; {figure(last)} after "
        f"{len(thrown.sizes)}. The loss went from {start} to "
        + (
            f"{figure(thrown.losses[-2])}, and is no finite number then."
            if is_over
            else f"{figure(max(thrown.losses))}."
        ),
        confidence=Confidence.LIKELY,
        mechanism=_OVERSHOOTS,
        location=first_location([thrown.optimizer.place]),
        also_at=[location(place) for place in written],
        evidence=[
            Evidence("first gradient (RMS)", thrown.gradient),
            Evidence("weights after the first step (RMS)", first),
            Evidence(f"weights after {len(thrown.sizes)} (RMS)", last, f"about {figure(first)}"),
        ],
        series=[Series("loss", tuple(range(len(thrown.losses))), thrown.losses)],
        rate=figure(thrown.rate),
        seen=f"{grown} as large"
        if is_over
        else "its first step leaves nothing of the weights, and the loss rises",
    )


def too_low(own: Trace, better: Trace, ratio: float) -> Finding:
    """Return the finding for a rate that moves nothing."""
    facts, other = own.facts["overfit"], better.facts["overfit"]
    return TOO_LOW.finding(
        f"{compared(own, better)} A step changes the weights by {ratio:.1e} of their size.",
        mechanism="The gradient is there and the optimizer steps, but the product of both with "
        "this rate is too small to show in the loss.",
        location=place(own),
        evidence=[
            Evidence("largest update over weights (RMS)", ratio, "about 1e-3"),
            *both(facts, other),
        ],
        series=curves(own, better),
        remedies=remedied(TOO_LOW, own, better),
        rate=figure(facts["learning_rate"]),
        better=figure(other["learning_rate"]),
    )


def remedied(rule: Rule, own: Trace, better: Trace) -> list[Remedy]:
    """Return the rule's remedies, the first one with the rates that were tried."""
    old, new = (figure(run.facts["overfit"]["learning_rate"]) for run in (own, better))
    first = replace(
        rule.remedies[0], before=f"learning_rate = {old}", after=f"learning_rate = {new}"
    )
    return [first, *rule.remedies[1:]]


def place(own: Trace) -> Any:
    """Return where the optimizer is built."""
    return first_location([*(row.place for row in own.optimizers), own.setup.factory])


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first; other rates follow where the setup's own fails."""
    return OverfitBatch(max_seconds=options.max_seconds), ShortRun()


probe = Probe(
    name="learning-rate",
    doc=__doc__,
    rules=(TOO_HIGH, TOO_LOW),
    examine=examine,
    experiments=experiments,
    options=Options,
)
