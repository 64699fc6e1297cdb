"""Can the setup learn one batch by heart?

## What it measures
The loss of one batch that is trained on again and again with the setup's own optimizer. Where that
fails, the same batch is trained on with one thing changed at a time: without dropout, clipping,
weight decay, freezing, autocast, the scaler, low precision, with the parameters that no optimizer
holds, at other learning rates. What a short run shows to be strong is tried first, and the first
change that heals it is the cause. A fresh AdamW over all trainable parameters at three rates tells
faults of the optimizer from those of model and data; where it fails too, two samples are tried
alone, and a small network made of none of the user's code is trained on the same inputs and labels,
as they are and permuted: what it learns is no fault of the data. The floor below which the loss
cannot go is read off the loss functions that are called.

## Why it matters
A model that cannot learn two samples by heart will learn nothing from a million. Something
between the inputs and the loss keeps it from the answer, and no longer run will help.

## Known limits
It speaks only where the floor is known and nothing at all learns the batch, or the change that
does is found. Two causes of which each suffices are not found by taking away one. Objectives that
draw noise of their own, or that are more than the loss functions they call, are not judged. A model
that needs more steps than time allows is not judged either. Learning rates are left to their own
rules. Contradicting labels for the same input, which nobody can learn, are excused if two samples
without contradiction are learned.

## References
Karpathy, "A Recipe for Training Neural Networks": overfit one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from traindoctor.errors import CannotJudge, ExperimentFailed, words_of
from traindoctor.experiments import Experiment, OverfitBatch, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Trace
from traindoctor_probes._plain import plain_curves, plain_evidence, plain_runs, said_of_plain
from traindoctor_probes._rates import update_ratio
from traindoctor_probes._reach import is_blind, limiting_line, mechanism
from traindoctor_probes._suspects import suspects
from traindoctor_probes._trials import (
    LARGE,
    OF_OPTIMIZER,
    STRONG,
    Trial,
    at_other_rates,
    compared,
    curve,
    first_healing,
    healed,
    said,
    without,
)

CANNOT = Rule(
    code="TD601",
    name="cannot-overfit-one-batch",
    severity=Severity.ERROR,
    title="One batch cannot be learned{cause}: its loss stays at {end}, its floor is {floor}",
    what="The setup does not learn one batch by heart, and a single change shows why, or no other "
    "optimizer at any rate does either.",
    why="What cannot be learned by heart cannot be learned at all.",
    known_limits="Silent where the floor is not known, the objective is random, or time runs out.",
    remedies=(
        Remedy(
            "Follow two samples from the batch to the loss",
            recommended=True,
            pros="Where they become equal, or numbers become bounded, is the fault.",
            after="for layer in model.children():\n"
            "    layer.register_forward_hook(\n"
            "        lambda m, i, out: print(m, out.std(), (out[0] - out[1]).abs().max())\n"
            "    )",
        ),
        Remedy(
            "Leave the last activation or normalisation out",
            pros="Logits must be free to grow: tanh, sigmoid and unit norm bound them.",
            before="return torch.tanh(self.head(x))",
            after="return self.head(x)",
        ),
    ),
    explains=("TD108", "TD712"),
)
RATES = (1e-2, 1e-3, 1e-4)
ENOUGH_STEPS = 60  # fewer show neither rest nor slow learning
MOVED = 0.1  # of the way to the floor: it learns, however slowly


@dataclass(frozen=True, slots=True)
class Options:
    """How long it may take."""

    max_seconds: float = 10.0  # for the setup's own optimizer; half for each follow-up
    num_samples: int = 2


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Train on one batch, and change one thing at a time where it is not learned."""
    own = ask(OverfitBatch(max_seconds=options.max_seconds))
    own.require(losses=1)
    facts = own.facts["overfit"]
    is_short = facts["steps"] < ENOUGH_STEPS and facts["course"] in ("flat", "falling", "rising")
    if is_short and (facts["progress"] or 0.0) < MOVED:
        raise CannotJudge(f"{facts['steps']} steps are too few to say: {said(own)}")
    if is_short or facts["learned"] is not False:
        return
    try:
        yield from not_learned(ask, own, options)
    except CannotJudge as error:
        raise CannotJudge(words_of(error), leaves_open=True) from None


def not_learned(ask: Ask, own: Trace, options: Options) -> Iterator[Finding]:
    """Change one thing at a time until the batch is learned."""
    facts = own.facts["overfit"]
    if not any(row.requires_grad for row in own.losses):
        raise CannotJudge("the loss has no gradient")
    if facts["floor"] is None:
        raise CannotJudge(f"{said(own)}; its floor is not known: {facts['floor_reason']}")
    half, tried = options.max_seconds / 2, list[Trial]()
    short = ask(ShortRun())
    found = suspects(short, ask(ReadSource()).source)
    if update_ratio(short) >= LARGE:  # what makes steps smaller is not to blame for large ones
        found = [suspect for suspect in found if suspect.change != "clipping"]
    strong = [suspect for suspect in found if suspect.strength >= STRONG]
    weak = [suspect for suspect in found if suspect.strength < STRONG]
    others: list[Trace] = []
    cure = first_healing(without(ask, own, strong, half), tried)
    if cure is None:
        others = fresh_runs(ask, own, half)
        if others[-1].facts["overfit"]["learned"]:
            rates = at_other_rates(ask, own, short, half)
            cure = first_healing(chain(rates, without(ask, own, weak, half)), tried)
        else:
            rest = [suspect for suspect in weak if suspect.change not in OF_OPTIMIZER]
            cure = first_healing(without(ask, own, rest, half), tried)
    if cure is None:
        yield from uncured(ask, own, others, options, tried)
    elif cure.suspect is None:
        raise CannotJudge(f"{said(own)}, and with {cure.name} it is learned: {cure.said}")
    else:
        yield healed(CANNOT, own, tried)


def fresh_runs(ask: Ask, own: Trace, max_seconds: float) -> list[Trace]:
    """Return runs of a fresh AdamW at several rates, the last of which alone may have learned."""
    runs: list[Trace] = []
    for rate in RATES:
        change = OverfitBatch(fresh=True, learning_rate=rate, max_seconds=max_seconds)
        run = follow_up(ask, own, change)
        if run not in runs:  # the user's own `--lr` makes them one and the same
            runs.append(run)
        if run.facts["overfit"]["learned"]:
            break
    return runs


def uncured(
    ask: Ask, own: Trace, others: list[Trace], options: Options, tried: list[Trial]
) -> Iterator[Finding]:
    """Judge a batch that no single change heals, by parts of it."""
    if others[-1].facts["overfit"]["learned"]:
        raise CannotJudge(
            f"{said(own)}, and a fresh AdamW over all trainable parameters learns it: "
            f"{said(others[-1])}"
        )
    best = max(others, key=lambda run: run.facts["overfit"]["progress"] or -math.inf)
    rate, half = best.facts["overfit"]["learning_rate"], options.max_seconds / 2
    fresh = OverfitBatch(fresh=True, learning_rate=rate, max_seconds=half)
    few = follow_up(ask, own, replace(fresh, samples=options.num_samples))
    few.require(losses=1)
    if few.facts["overfit"]["learned"] is False or is_blind(few):
        yield finding(own, others, few, options, tried, plain_runs(ask))
    elif agreed := learned(ask, replace(fresh, undisputed=True)):
        yield contradicting(own, best, agreed)
    else:
        raise CannotJudge(
            f"{said(best)}, but {options.num_samples} of its samples alone: {said(few)}; too small "
            "a model does that, and inputs that hardly tell samples apart"
        )


def follow_up(ask: Ask, own: Trace, change: OverfitBatch) -> Trace:
    """Return the run with a change.

    Raises:
        CannotJudge: it cannot be had, and nothing else could say why the batch is not learned.
    """
    try:
        return ask(change)
    except ExperimentFailed as error:
        raise CannotJudge(f"{said(own)}, and what keeps it there was not found: {error}") from None


def learned(ask: Ask, change: OverfitBatch) -> Trace | None:
    """Return the run with a change if it can be had and learns the batch."""
    try:
        run = ask(change)
    except ExperimentFailed:
        return None
    return run if run.facts["overfit"]["learned"] else None


def contradicting(own: Trace, best: Trace, agreed: Trace) -> Finding:
    """Return what is to say of a batch that no model could learn, which is no fault of this one."""
    facts = own.facts["overfit"]
    return CANNOT.finding(
        f"With all samples {said(best)}. Without those whose inputs came before with another label "
        f"{said(agreed)}.",
        severity=Severity.INFO,
        mechanism="Equal inputs get equal answers. Where their labels differ, part of the loss "
        "stays, whatever the model.",
        location=first_location([own.setup.loader_place, own.setup.factory]),
        series=[curve("all samples", best), curve("undisputed samples", agreed)],
        cause=" because labels contradict each other",
        end=figure(best.facts["overfit"]["end"]),
        floor=figure(facts["floor"]),
    )


def finding(
    own: Trace,
    others: list[Trace],
    few: Trace,
    options: Options,
    tried: list[Trial],
    plain: list[Trace],
) -> Finding:
    """Return the finding, with every run as evidence and as a curve."""
    runs = {
        "your optimizer": own,
        **{f"AdamW at {figure(r.facts['overfit']['learning_rate'])}": r for r in others},
        f"{options.num_samples} samples": few,
    }
    facts = own.facts["overfit"]
    best = max(others, key=lambda run: run.facts["overfit"]["progress"] or -math.inf)
    end = best.facts["overfit"]["end"]
    return CANNOT.finding(
        f"With the setup's own optimizer {said(own)}. No other rate does better: "
        + "; ".join(said(run) for run in others)
        + f". Of {options.num_samples} samples alone {said(few)}.{said_of_plain(plain)}",
        mechanism=mechanism(few),
        location=first_location([limiting_line(few), own.setup.model_place, own.setup.factory]),
        evidence=[
            Evidence("floor of the loss", facts["floor"]),
            *(
                Evidence(f"end of the loss, {name}", run.facts["overfit"]["end"], facts["floor"])
                for name, run in runs.items()
            ),
            *plain_evidence(plain),
        ],
        series=[*(curve(name, run) for name, run in runs.items()), *plain_curves(plain)],
        tables=[compared(own, tried)] if tried else [],
        cause="",
        end=figure(end),
        floor=figure(facts["floor"]),
    )


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first; follow-ups come only where that does not learn."""
    return (OverfitBatch(max_seconds=options.max_seconds),)


probe = Probe(
    name="one-batch",
    doc=__doc__,
    rules=(CANNOT,),
    examine=examine,
    experiments=experiments,
    options=Options,
)
