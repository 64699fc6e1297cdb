"""Are batches that are accumulated for one step added up, or averaged?

## What it measures
Where the user's own loop steps once in several batches: the gradient at the step of so many copies
of one batch, beside the gradient of the loss function's mean over that batch. An average is the
same, a sum so many times as large. Of a `transformers.Trainer` that accumulates: whether the loss
that it takes for divided by the number of labels changes with that number.

## Why it matters
Four batches that are added up make a gradient four times as large as one batch of four times the
size: the learning rate is in truth four times what it says, and clipping sets in four times as
early.

## Known limits
Loops are judged by one loss function that takes a mean; a loss that is divided by a count of tokens
in all batches is left alone. With an optimizer that divides by the size of the gradient, such as
Adam, and without clipping that bites, a sum does no harm: there it is information.

## References
"Fixing Gradient Accumulation", Hugging Face, 2024; `Trainer.compute_loss` of transformers 5.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from traindoctor.experiments import AccumulatedGradient, Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Trace
from traindoctor_probes.batch_sum import PROPORTIONAL, kept_by_clipping

CLOSE = 0.05
BITES = 0.9  # what clipping leaves of a gradient that it takes hold of

SUMS = Rule(
    code="TD109",
    name="accumulation-not-normalised",
    severity=Severity.ERROR,
    title="The gradients of {num_batches} accumulated batches are added up, not averaged",
    what="The loss of each accumulated batch is differentiated whole.",
    why="The step is that of a learning rate so many times as large, and clipping sets in early.",
    known_limits="Needs one loss function that takes a mean. Information where the optimizer does "
    "not mind.",
    remedies=(
        Remedy(
            "Divide the loss by the number of batches",
            recommended=True,
            before="loss.backward()",
            after="(loss / accumulation_steps).backward()",
        ),
        Remedy(
            "Let the Trainer divide, or divide by the number that it gives",
            pros="For a `compute_loss` or a forward with `**kwargs` of your own.",
            before="loss = F.cross_entropy(logits, labels)",
            after='loss = F.cross_entropy(logits, labels, reduction="sum") / num_items_in_batch',
        ),
    ),
    explains=("TD105", "TD205", "TD210", "TD408", "TD418"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Ask for an accumulated gradient where there is accumulation."""
    run = ask(ShortRun())
    declared = run.setup.accumulation_steps
    if run.setup.trainer_class:
        if declared > 1 and not ask(AccumulatedGradient(declared)).facts["is_divided"]:
            yield by_trainer(run, declared)
        return
    number = accumulated(run)
    if number:
        seen = ask(AccumulatedGradient(number))
        ratio = growth(seen)
        if ratio is not None and math.isclose(ratio, number, rel_tol=CLOSE):
            yield by_loop(run, seen, number, ratio)


def accumulated(run: Trace) -> int:
    """Return how many batches, a backward pass each, the user's loop takes to a step; 0 if one."""
    batches: Counter[int] = Counter()
    windows: list[int] = []
    for step in run.steps if run.setup.trains_by_hand and len(run.optimizers) == 1 else ():
        ended = [row.batch for row in run.backwards if row.step == step.index]
        windows.append(len(ended) if len(set(ended)) == len(ended) else 0)
    batches.update(windows[:-1] or windows)
    number = batches.most_common(1)[0][0] if batches else 0
    return number if number > 1 else 0


def growth(seen: Trace) -> float | None:
    """Return the step's gradient over that of the mean over one batch, where it can be known."""
    facts = seen.facts
    called = [row for row in seen.criteria if row.value and row.reduction == "mean"]
    is_one = called and len(seen.criteria) == len(called) == len(seen.backwards)
    if not is_one or not facts["loss"] or not facts["first_norm"]:
        return None
    share = facts["loss"] / (called[0].value or 1.0)
    return float(facts["step_norm"] / (facts["first_norm"] / share))


def severity(run: Trace, kept: float | None) -> Severity:
    """Return how bad it is: what neither the optimizer nor clipping minds is information."""
    is_proportional = any(row.class_name in PROPORTIONAL for row in run.optimizers)
    matters = is_proportional if kept is None else kept < BITES
    return Severity.ERROR if matters else Severity.INFO


def by_loop(run: Trace, seen: Trace, number: int, ratio: float) -> Finding:
    """Return the finding of a loop, at its backward pass."""
    names = ", ".join(row.class_name for row in run.optimizers)
    return SUMS.finding(
        f"The loop steps once in {number} batches. At the step after {number} copies of one batch "
        f"the gradient is {figure(ratio)} times that of the mean loss of one: {names} gets "
        f"their sum.",
        severity=severity(run, kept_by_clipping(run)),
        mechanism="Each backward pass adds the whole gradient of its batch. One batch of all these "
        "samples would have their mean.",
        location=first_location(
            [*(row.place for row in run.backwards), *(row.place for row in run.steps)]
        ),
        evidence=[
            Evidence("gradient at the step, over that of one batch's mean loss", ratio, 1.0),
            Evidence("batches to a step", number),
            Evidence("gradient norm after the first batch", seen.facts["first_norm"]),
            Evidence("gradient norm at the step", seen.facts["step_norm"]),
        ],
        num_batches=number,
    )


def by_trainer(run: Trace, number: int) -> Finding:
    """Return the finding of a Trainer, at the forward."""
    kept = kept_by_clipping(run)
    return SUMS.finding(
        f"The Trainer accumulates {number} batches, and takes the loss for divided by the number "
        "of labels in all of them, for the forward takes any keyword. Yet the loss is the same to "
        "the last bit for that number and for twice as many.",
        severity=severity(run, None if kept is None else kept / number),
        mechanism="Where the model's forward has `**kwargs`, the Trainer passes it "
        "`num_items_in_batch` and does not divide the loss by the number of accumulated batches. "
        "Here nobody divides by anything.",
        location=first_location(
            [run.setup.forward_place, run.setup.trainer_place, run.setup.factory]
        ),
        evidence=[
            Evidence("change of the loss under twice the number of labels", 0.0, "half the loss"),
            Evidence("batches to a step", number),
        ],
        remedies=tuple(reversed(SUMS.remedies)),
        num_batches=number,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="accumulation-scale",
    doc=__doc__,
    rules=(SUMS,),
    examine=examine,
    experiments=experiments,
)
