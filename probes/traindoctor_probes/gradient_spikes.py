"""Does a gradient explode, and take the loss with it?

## What it measures
Over a longer run, the norm of each step's gradient as the optimizer saw it (after clipping), beside
the median of those before it, and the level of the loss before and after. In a short run, the RMS
of the weight gradients of like layers in forward order.

## Why it matters
One step on a gradient a thousand times too long throws the weights out of everything they had
learned. Where each layer passes back several times the gradient that reaches it, the first layers
are thrown about in every step.

## Known limits
A spike is one only if the loss is worse afterwards: what Adam or a clipped norm absorbs is no
fault. Ten steps must lie before it and five after it. A norm that rises step by step, and a loss
that had risen before it, are the matter of TD105; LBFGS, which tries points out, is not judged.
Growth through depth needs four like layers, and a loss that does not fall.

## References
Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from traindoctor.experiments import Experiment, LongRun, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Series, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Place, Trace
from traindoctor_probes._courses import Course, courses
from traindoctor_probes.gradient_depth import Depth, depths

EXPLODES = Rule(
    code="TD205",
    name="exploding-gradient",
    severity=Severity.ERROR,
    title="The gradient's norm {how}",
    what="The gradient is a thousand times its usual length in one step, or grows by orders of "
    "magnitude from layer to layer on the way back.",
    why="The step that follows undoes what was learned.",
    known_limits="Only spikes after which the loss is worse, and growth with which it does not "
    "fall.",
    remedies=(
        Remedy(
            "Clip the gradient's norm before each step",
            recommended=True,
            pros="Such a step is then as long as the others.",
            before="loss.backward()\noptimizer.step()",
            after="loss.backward()\n"
            "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()",
        ),
        Remedy(
            "Look at the batch of that step",
            pros="A sample that is out of range, or far longer than the others, is found at once.",
        ),
    ),
    explains=("TD102", "TD105", "TD203", "TD418"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """When a gradient has exploded."""

    factor: float = 1e3  # over the median of the norms before
    rising: float = 30.0  # over that median in the last three steps: a divergence
    risen: float = 3.0  # of the loss before it over the loss at the start: a divergence, too
    num_before: int = 10
    num_after: int = 5
    damage: float = 2.0  # of the loss after it over the loss before
    growth: float = 1e4  # from the last of like layers back to the first
    min_share_growing: float = 0.8  # of neighbouring layers
    min_layers: int = 4


@dataclass(frozen=True, slots=True)
class Spike:
    """One pulse's gradient beside those before it."""

    index: int
    norm: float
    usual: float
    before: float  # level of the loss
    after: float


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Look for a spike that did harm, then for growth through depth."""
    run = ask(LongRun())
    run.require(backwards=1)
    for course in courses(run):
        spike = first_spike(course, options)
        if spike is not None:
            yield spiked(run, course, spike)
            return
    short = ask(ShortRun())
    grown = [depth for depth in depths(short, options.min_layers) if grows(depth, options)]
    if grown and not falls(short):
        yield growing(max(grown, key=lambda depth: _growth(depth.first)), short)


def first_spike(course: Course, options: Options) -> Spike | None:
    """Return the first gradient that is far too long and after which the loss is worse."""
    rows, first, rest = course.rows, options.num_before, options.num_after
    for index in range(first, len(rows) - rest):
        norm = rows[index].maximum_gradient_norm
        usual = [row.gradient_norm for row in rows[max(0, index - 50) : index]]
        known = [value for value in usual if value is not None and value > 0]
        if norm is None or len(known) < first:
            continue
        median = statistics.median(known)
        rising = max(known[-3:]) >= options.rising * median  # no spike: it comes step by step
        if norm < options.factor * median or rising:
            continue
        before = course.level(max(0, index - first), index)
        after = course.level(index + 1, index + 1 + 2 * rest)
        is_positive = min(course.losses[max(0, index - first) : index]) > 0
        has_risen = before > options.risen * course.level(0, first)  # it diverges already
        if is_positive and not has_risen and not after < options.damage * before:
            return Spike(index, norm, median, before, after)
    return None


def spiked(run: Trace, course: Course, spike: Spike) -> Finding:
    """Return the finding for one step."""
    row = course.rows[spike.index]
    times = spike.norm / spike.usual
    steps = [place for place in (step.place for step in run.steps) if place]
    norms = [item.gradient_norm for item in course.rows]
    return EXPLODES.finding(
        f"At step {row.last_step + 1} the gradient's norm was {figure(spike.norm)}, "
        f"{figure(times, 2)} times the median of those before it ({figure(spike.usual)}). The loss "
        f"was {figure(spike.before)} before that step, and {figure(spike.after)} after it.",
        mechanism="The optimizer steps as far as the gradient is long. What one batch says "
        "outweighs there what a thousand others said.",
        location=first_location([*steps[:1], *(item.place for item in run.optimizers)]),
        evidence=[
            Evidence("norm of the gradient", spike.norm, figure(spike.usual)),
            Evidence("level of the loss after it", spike.after, f"<= {figure(spike.before)}"),
            Evidence("step", row.last_step + 1),
        ],
        series=[
            Series(
                "norm of the gradient",
                course.steps,
                tuple(math.nan if norm is None else norm for norm in norms),
            ),
            course.series("loss"),
        ],
        subject="spike",
        how=f"was {figure(times, 2)} times its median at step {row.last_step + 1}",
    )


def grows(depth: Depth, options: Options) -> bool:
    """Tell a gradient that grows from layer to layer on the way back, at both ends of the run."""
    return all(
        _growth(rms) >= options.growth and _share_growing(rms) >= options.min_share_growing
        for rms in (depth.first, depth.last)
    )


def falls(run: Trace) -> bool:
    """Tell whether the loss of a short run falls."""
    losses = [row.value for row in run.losses]
    half = len(losses) // 2
    if half < 2 or not all(map(math.isfinite, losses)):
        return False
    return statistics.median(losses[half:]) < statistics.median(losses[:half])


def growing(depth: Depth, run: Trace) -> Finding:
    """Return the finding for one family of layers."""
    growth, count = _growth(depth.first), len(depth.rows)
    first, last = depth.rows[0], depth.rows[-1]
    passed = growth ** (1 / (count - 1))
    called = {row.path: row.call_place for row in run.modules}
    return EXPLODES.finding(
        f"From {last.name} back to {first.name} the gradient's RMS grows from "
        f"{figure(depth.first[-1])} to {figure(depth.first[0])}, at the last step as at the first, "
        "and the loss does not fall.",
        mechanism=f"Each layer passes back {figure(passed, 2)} times the gradient that reaches it, "
        f"and {count} layers in a row multiply.",
        location=first_location([called.get(first.module, Place()), first.place]),
        evidence=[
            Evidence(f"gradient RMS of {last.name}", depth.first[-1]),
            Evidence(f"gradient RMS of {first.name}", depth.first[0]),
            Evidence("growth through depth", growth, "about 1"),
        ],
        series=[Series("gradient RMS by layer", tuple(map(float, range(count))), depth.first)],
        subject="depth",
        how=f"grows {growth:,.0f} times through {count} layers",
    )


def _growth(rms: tuple[float, ...]) -> float:
    return rms[0] / rms[-1] if rms[-1] > 0 else 1.0


def _share_growing(rms: tuple[float, ...]) -> float:
    return sum(a >= b for a, b in pairwise(rms)) / (len(rms) - 1)


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return LongRun(), ShortRun()


probe = Probe(
    name="gradient-spikes",
    doc=__doc__,
    rules=(EXPLODES,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
