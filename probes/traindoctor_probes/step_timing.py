"""Is the training as fast as a real step allows?

## What it measures
The median time of a real training step, the floating-point operations of a sample, and the
device's speed at a large matrix product; beside them the speed of a run that is told of
(`--samples`, `--epochs`, `--seconds`), or of the batches in which the loop does not train. For a
claim the forward alone is timed too, in batches up to 64 times as large.

## Why it matters
Five epochs over 42,139 samples in a minute are not good news. A run that is faster than its own
arithmetic did not do it: the batches were skipped, or were not there.

## Known limits
All is measured on the device at hand: a claim from a faster one is not comparable. FLOPs are those
of matrix products, convolutions and attention. Larger batches are faster by the sample, so the
measured step is a bound only with a factor; where no step can be run, the forward alone is timed.

## References
PyTorch, torch.utils.flop_counter. Williams, Waterman, Patterson, Roofline (2009).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from traindoctor.experiments import Experiment, MeasureStep, ReadSource, ShortRun
from traindoctor.experiments.speed import timing
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
from traindoctor.probing.wording import duration, figure, location
from traindoctor.trace import Place
from traindoctor_probes._coverage import is_meant, missing_batches
from traindoctor_probes._leaving import leaving

OVER_STEP = 5.0  # a claim from a larger batch may be this much faster than the measured step
OVER_PEAK = 1.5  # the matrix product may have been disturbed
OVER_FORWARD = 2.0  # a step takes about three forwards, so that a disturbed one is no matter
LEAST_SECONDS = 2e-3  # a step that is shorter is not told from the loop around it
IDLE_SHARE, FEWEST = 0.5, 3  # of the batches of the user's own loop that come to no backward pass

TOO_FAST = Rule(
    code="TD501",
    name="faster-than-possible",
    severity=Severity.CRITICAL,
    title="{judgement}: {claimed} samples/s is {times} times what a {what} on this device allows",
    what="A run is faster than one of its steps, or than the device's arithmetic.",
    why="Whatever took that little time was not training on all of the data.",
    known_limits=f"Speaks from {OVER_STEP:.0f} times the measured step, {OVER_FORWARD:.0f} times "
    f"the forward of larger batches, or {OVER_PEAK} times the device's measured peak. All that is "
    "about the device where it is run.",
    remedies=(
        Remedy(
            "Find where the batches are lost: `traindoctor check` names the line",
            recommended=True,
            pros="A swallowed exception, an empty loader and a skipped step look alike here.",
        ),
        Remedy(
            "Count what reaches the optimizer",
            pros="`traindoctor steps` does it for a few batches.",
            after="num_trained += len(batch)\nassert num_trained == epochs * len(dataset)",
        ),
        Remedy(
            "Compare the log's time with one step's",
            after="seconds = len(loader) * epochs * step_seconds",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Options:
    """A run that is told of; `always` measures the step even if nobody tells of one."""

    num_samples: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    always: bool = False

    @property
    def experiment(self) -> MeasureStep:
        """The measurement, which knows of the claim."""
        return MeasureStep(num_samples=self.num_samples, epochs=self.epochs, seconds=self.seconds)


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Judge what is claimed, and what the user's own loop does where it does not train."""
    experiment = options.experiment
    claimed = experiment.claimed
    is_idle = leaves_batches(ask) if claimed is None else False
    if claimed is None and not options.always and not is_idle:
        return
    measured = ask(experiment)
    figures = timing(measured.facts, claimed)
    if figures["claim"]:
        who, place = "A run is said to have taken", measured.setup.factory
        yield from _judged(figures, figures["claim"], who, place)
    elif (
        is_idle
        and measured.facts["idle_seconds"]
        and measured.facts["batch_size"]
        and (figures["seconds"] or 0.0) >= LEAST_SECONDS
    ):
        size, seconds = measured.facts["batch_size"], measured.facts["idle_seconds"]
        observed = timing(measured.facts, (size, seconds))
        loops = [place for place in ask(ShortRun()).facts.get("loop_places", ()) if place]
        place = (loops or [measured.setup.factory])[0]
        yield from _judged(observed, observed["claim"], "The loop took", place)


def leaves_batches(ask: Ask) -> bool:
    """Tell whether most batches of the user's own loop come to no backward pass."""
    run = ask(ShortRun())
    if not run.setup.has_train_loop:
        return False
    if len(missing_batches(run)) < max(FEWEST, IDLE_SHARE * len(run.batches)):
        return False
    conditions = [] if run.handled else leaving(run, ask(ReadSource()).source)
    return not (is_meant(run, conditions) or any(c.reads_data for c in conditions))


def _judged(
    figures: dict[str, Any], claim: dict[str, Any], who: str, place: Place
) -> Iterator[Finding]:
    by_step, by_peak = claim["times_too_fast"] or 0.0, claim["times_the_bound"] or 0.0
    is_impossible = by_peak > OVER_PEAK or (claim["times_the_forward"] or 0.0) > OVER_FORWARD
    if not is_impossible and by_step <= OVER_STEP:
        return
    rate, bound = figures["samples_per_second"], figures["most_samples_per_second"]
    what, size = figures["what"], figures["batch_size"]
    least = "at least " if what == "forward" else ""
    peak = ""
    if bound:
        peak = (
            f" A sample is {figure(figures['flops_per_sample'])} floating-point operations, and at "
            f"the device's {figure(figures['peak_flops_per_second'])} a second no more than "
            f"{bound:,.0f} samples/s are possible at all."
        )
    forward = figures["forward_samples_per_second"]
    if forward:
        peak += (
            f" The forward alone makes {forward:,.0f} samples/s at most, in batches of "
            f"{figures['forward_batch_size']}."
        )
    yield TOO_FAST.finding(
        f"{who} {duration(claim['seconds'])} for {claim['samples']:,} samples, "
        f"{claim['samples_per_second']:,.0f} a second. One {what} on {size} samples takes "
        f"{duration(figures['seconds'])}, which makes {rate:,.0f} a second: "
        f"{least}{duration(claim['plausible_seconds'])} would be plausible.{peak}",
        confidence=Confidence.CERTAIN if is_impossible else Confidence.LIKELY,
        mechanism="A step cannot take less time than its arithmetic. A run that does has left "
        "steps out: batches that were skipped, swallowed, empty, or never fetched.",
        location=location(place),
        evidence=[
            Evidence("samples a second", claim["samples_per_second"], rate),
            Evidence("seconds of the run", claim["seconds"], claim["plausible_seconds"], "s"),
            Evidence(f"seconds of one {what}", figures["seconds"], None, "s"),
            Evidence("FLOPs of a sample", figures["flops_per_sample"]),
            Evidence("the device's peak", figures["peak_flops_per_second"], None, "FLOP/s"),
            Evidence("most samples a second at that peak", bound),
            *([Evidence("most samples a second of the forward alone", forward)] if forward else []),
        ],
        claimed=f"{claim['samples_per_second']:,.0f}",
        judgement="Impossible" if is_impossible else "Not plausible",
        times=f"{by_step:,.0f}" if by_step >= 10 else figure(by_step, 2),
        what=what,
    )


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return ShortRun(), options.experiment


probe = Probe(
    name="step-timing",
    doc=__doc__,
    rules=(TOO_FAST,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
