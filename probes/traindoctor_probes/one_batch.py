"""Can the setup learn one batch by heart?

## What it measures
The loss of one batch that is trained on again and again with the setup's own optimizer. Where that
fails, the same batch is trained on with one thing changed at a time: without dropout, clipping,
weight decay, freezing, autocast, the scaler, low precision, with the parameters that no optimizer
holds, at other learning rates. What a short run shows to be strong is tried first, and the first
change that heals it is the cause. If none does: a fresh AdamW over all trainable parameters at
three rates, then two samples alone. The floor below which the loss cannot go is read off the loss
functions that are called.

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
from dataclasses import dataclass

from traindoctor.errors import CannotJudge
from traindoctor.experiments import Experiment, OverfitBatch
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Series, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes._trials import Trial, compared, healed, said, trials

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
    if not any(row.requires_grad for row in own.losses):
        raise CannotJudge("the loss has no gradient")
    if facts["floor"] is None:
        raise CannotJudge(f"{said(own)}; its floor is not known: {facts['floor_reason']}")
    half = options.max_seconds / 2
    tried = []
    for trial in trials(ask, own, half):
        tried.append(trial)
        if not trial.heals:
            continue
        if trial.suspect is None:
            raise CannotJudge(f"{said(own)}, and with {trial.name} it is learned: {trial.said}")
        yield healed(CANNOT, own, tried)
        return
    others: list[Trace] = []
    for rate in RATES:
        run = ask(OverfitBatch(fresh=True, learning_rate=rate, max_seconds=half))
        if run.facts["overfit"]["learned"]:
            raise CannotJudge(
                f"{said(own)}, and a fresh AdamW over all trainable parameters learns it: "
                f"{said(run)}"
            )
        if run not in others:  # the user's own `--lr` makes them one and the same
            others.append(run)
    best = max(others, key=lambda run: run.facts["overfit"]["progress"] or -math.inf)
    rate = best.facts["overfit"]["learning_rate"]
    few = ask(
        OverfitBatch(fresh=True, learning_rate=rate, max_seconds=half, samples=options.num_samples)
    )
    few.require(losses=1)
    if few.facts["overfit"]["learned"] is not False and not is_blind(few):
        raise CannotJudge(
            f"{said(best)}, but {options.num_samples} of its samples alone: {said(few)}"
        )
    yield finding(own, others, few, options, tried)


def finding(
    own: Trace, others: list[Trace], few: Trace, options: Options, tried: list[Trial]
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
        + f". Of {options.num_samples} samples alone {said(few)}.",
        mechanism=mechanism(few),
        location=first_location([own.setup.model_place, own.setup.factory]),
        evidence=[
            Evidence("floor of the loss", facts["floor"]),
            *(
                Evidence(f"end of the loss, {name}", run.facts["overfit"]["end"], facts["floor"])
                for name, run in runs.items()
            ),
        ],
        series=[
            Series(name, tuple(range(len(run.losses))), tuple(row.value for row in run.losses))
            for name, run in runs.items()
        ],
        tables=[compared(own, tried)] if tried else [],
        cause="",
        end=figure(end),
        floor=figure(facts["floor"]),
    )


def mechanism(few: Trace) -> str:
    """Say what keeps even two samples from being learned, as far as it shows at the loss."""
    row = last_criterion(few)
    bound = lowest(row) if row else None
    if row and is_blind(few):
        return (
            f"What `{row.function}` gets is the same for samples of different labels, to "
            f"{figure(row.input_spread)}, after training as before: their inputs do not reach it."
        )
    if row and bound is not None and bound > 0.5 * (row.value or 0.0):
        return (
            f"After training the logits lie between {figure(row.input_minimum)} and "
            f"{figure(row.input_maximum)}. A cross entropy over {row.num_classes} classes "
            f"cannot go below {figure(bound)} with logits so close: something bounds them."
        )
    return "The loss rests above its floor at every learning rate, for two samples as for all."


def last_criterion(run: Trace) -> CriterionRow | None:
    """Return what the last loss function got when training had ended."""
    return next((row for row in reversed(run.criteria) if row.value is not None), None)


def is_blind(few: Trace) -> bool:
    """Tell whether the loss function gets the same for each sample, and the loss rests."""
    row, facts = last_criterion(few), few.facts["overfit"]
    if row is None or row.input_spread is None or facts["course"] not in ("stuck", "flat"):
        return False
    width = (row.input_maximum or 0.0) - (row.input_minimum or 0.0)
    return row.input_spread <= 1e-3 * width and facts["learned"] is not True


def lowest(row: CriterionRow) -> float | None:
    """Return the lowest cross entropy of logits that are no further apart than these."""
    if row.function != "cross_entropy" or not row.num_classes:
        return None
    width = (row.input_maximum or 0.0) - (row.input_minimum or 0.0)
    return math.log1p((row.num_classes - 1) * math.exp(-width))


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
