"""Does every term of the loss get through to the parameters that it shares with the others?

## What it measures
Of a loss that is a sum, each term's gradient by itself: its norm over the parameters that it
reaches, beside that of the other term that pulls most at the same parameters; at the first step
and up to twelve steps later.

## Why it matters
Terms of other units (a squared error of pixels up to 255 beside a cross entropy) are added as if
they were alike. The shared part of the model then learns for one of them, and the other one's head
makes do with what comes of that.

## Known limits
What balance is meant nobody can measure, so that this is never more than likely. Judged are terms
with a target, of torch's loss functions or an absolute difference, in the user's own code; written
out by hand (`((x - y) ** 2).mean()`) they are not known as such, and neither are penalties, whose
gradients are meant to be small. A term with a constant below a tenth of another's is taken to be
meant so. Terms that share no parameter do not compete, and are silent.

## References
Kendall et al. 2018, "Multi-task learning using uncertainty to weigh losses". Chen et al. 2018,
"GradNorm".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import Experiment, LossTerms, ShortRun
from traindoctor.experiments.loss_terms import share
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
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import TermRow, Trace

DOMINATED = Rule(
    code="TD115",
    name="one-term-dominates",
    severity=Severity.WARNING,
    title="One of {num_terms} loss terms makes {share:.1%} of the gradient that another shares",
    what="One of several terms of the loss makes nearly all of the gradient of shared parameters.",
    why="The others are computed, reported, and hardly ever trained on.",
    known_limits="Likely at most: which balance is meant is not known. Terms without a target, and "
    "those with a small constant of their own, are not judged.",
    remedies=(
        Remedy(
            "Bring the terms to one scale, at the targets or by weights",
            recommended=True,
            pros="Standardised targets give errors near 1, whatever their unit.",
            before="loss = F.cross_entropy(logits, labels) + F.mse_loss(values, targets)",
            after="loss = F.cross_entropy(logits, labels) + F.mse_loss(values, targets / scale)",
        ),
        Remedy(
            "Let the weights be learned, from each task's uncertainty",
            pros="No weight to tune.",
            cons="One more parameter a task, and terms that are no likelihoods do not fit in.",
        ),
    ),
    explains=("TD205", "TD210", "TD6"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """When a term counts as drowned."""

    least_share: float = 0.01  # of the gradients' norms: its own and that of the largest
    least_weight: float = 0.1  # of the other term's: a smaller one is meant to be small


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Take the loss apart where it is a sum, and look for terms that are drowned by another."""
    if max((row.num_terms for row in ask(ShortRun()).backwards), default=1) < 2:
        return
    run = ask(LossTerms(options.least_share))
    first = {row.term: row for row in run.terms if row.backward == 0}
    for number in first:
        rows = [row for row in run.terms if row.term == number]
        if len(rows) > 1 and all(is_drowned(row, run, options) for row in rows):
            yield dominated(rows, run, first)
            return


def is_drowned(row: TermRow, run: Trace, options: Options) -> bool:
    """Tell a term that has a target and hardly any pull on what it shares with another."""
    other = largest(row, run)
    if other is None or not row.is_supervised or not row.place:
        return False
    is_meant = row.weight < min(1.0, options.least_weight * other.weight)
    return not is_meant and 0 < share(row) < options.least_share


def largest(row: TermRow, run: Trace) -> TermRow | None:
    """Return the term that pulls most at the same parameters, in the same pass."""
    return next(
        (
            other
            for other in run.terms
            if (other.backward, other.term) == (row.backward, row.largest)
        ),
        None,
    )


def dominated(rows: list[TermRow], run: Trace, first: dict[int, TermRow]) -> Finding:
    """Return the finding, at the term that dominates."""
    highest = max(rows, key=share)
    other = largest(highest, run)
    assert other is not None
    passes = counted(len(rows), "pass")
    return DOMINATED.finding(
        f"In {passes} over {counted(rows[-1].backward + 1, 'step')}, `{highest.place.text}` had at "
        f"most {share(highest):.2%} of the gradient of the parameters that it shares with "
        f"`{other.place.text}`: a norm of {figure(highest.gradient_norm)} beside "
        f"{figure(highest.largest_norm)}.",
        confidence=Confidence.LIKELY,
        mechanism="Gradients of the terms are added. Clipping and adaptive step sizes look at the "
        "sum alone, so that what is a hundredth of it moves nothing by itself.",
        location=first_location([other.place, highest.place, run.setup.factory]),
        also_at=[location(highest.place)] if highest.place != other.place else [],
        evidence=[
            Evidence("norm of the drowned term's gradient", highest.gradient_norm),
            Evidence("norm of the other's, over the same parameters", highest.largest_norm),
            Evidence("the drowned term's share", share(highest), "above 0.01"),
            Evidence("constant of the drowned term", highest.weight),
            Evidence("constant of the other", other.weight),
        ],
        num_terms=len(first),
        share=1 - share(highest),
        subject=highest.place.text,
    )


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="loss-balance",
    doc=__doc__,
    rules=(DOMINATED,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
