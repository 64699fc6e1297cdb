"""Does the model answer different samples differently?

## What it measures
The outputs of two different samples in eval mode, and the operation behind which no result tells
them apart. Where that is so, one batch is trained on: are its outputs still one and the same at the
end, and is it not learned?

## Why it matters
A model that gives one answer learns the average of the labels and nothing else. Somewhere on the
way all samples become equal, and no training of what comes behind can undo that.

## Known limits
Judged where the first axis of all inputs surely counts samples. Heads that start at zero give one
answer at first, too: that is why training is asked for. Collapse that comes later is not seen.

## References
Karpathy, "A Recipe for Training Neural Networks": input-independent baseline.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, OverfitBatch, SwapSamples
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import CriterionRow, Place, Trace

SAME = 1e-6  # of an output's size
ENOUGH_STEPS = 60  # fewer do where the loss has come to rest

COLLAPSED = Rule(
    code="TD712",
    name="output-collapsed",
    severity=Severity.WARNING,
    title="Every sample of a batch gets the same output, before and after {num_steps} steps",
    what="The model's output does not depend on which sample it is given.",
    why="The best that can be learned is one answer for all.",
    known_limits="Only collapse that is there from the beginning, and that training does not end.",
    remedies=(
        Remedy(
            "Normalise over the features, not over an axis of length 1",
            recommended=True,
            pros="What is normalised over one value is zero for every sample.",
            before="x = F.layer_norm(x[..., None], (1,)).squeeze(-1)",
            after="x = F.layer_norm(x, x.shape[-1:])",
        ),
        Remedy(
            "Follow two samples through the model",
            after="print((x[0] - x[1]).abs().max())",
        ),
    ),
    explains=("TD103", "TD108", "TD409", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the outputs of two samples, and at a batch's after training on it."""
    run = ask(SwapSamples())
    apart = run.facts.get("apart")
    if apart is None or apart > SAME or not run.facts.get("merged_by_model"):
        return  # what has lost its inputs before any layer came to them ignores them (TD108)
    trained = ask(OverfitBatch(max_seconds=10.0))
    facts = trained.facts.get("overfit", {})
    is_enough = facts.get("steps", 0) >= ENOUGH_STEPS or facts.get("course") == "stuck"
    is_done = is_enough and facts.get("learned") is False
    ends = [row for row in trained.criteria if row.input_spread is not None]
    if is_done and ends and all(is_one_answer(row) for row in ends):
        yield collapsed(run, ends[-1], facts["steps"])


def is_one_answer(row: CriterionRow) -> bool:
    """Tell predictions that are the same for all samples, of targets that are not."""
    size = max(abs(row.input_minimum or 0.0), abs(row.input_maximum or 0.0), 1e-12)
    has_targets = row.target_minimum is not None and row.target_minimum != row.target_maximum
    return has_targets and (row.input_spread or 0.0) <= SAME * size


def collapsed(run: Trace, end: CriterionRow, num_steps: int) -> Finding:
    """Return the finding, at the operation that makes samples equal."""
    facts = run.facts
    place: Place = facts.get("merged_place", Place())
    built = [row.place for row in run.modules if row.path == facts["merged_module"]]
    return COLLAPSED.finding(
        f"Two samples' outputs differ by {figure(facts['apart'])} of their size. The first result "
        f"that no longer tells them apart is that of `{facts['merged_by']}`. After {num_steps} "
        f"steps on one batch its predictions still differ by {figure(end.input_spread)}.",
        mechanism="Behind this operation all samples are one. What comes after it can learn one "
        "answer, and what comes before it gets no gradient that tells samples apart.",
        location=first_location([place, *built], module=facts["merged_module"] or None),
        evidence=[
            Evidence("difference of two samples' outputs, of their size", facts["apart"], "not 0"),
            Evidence("largest difference of predictions after training", end.input_spread, "not 0"),
            Evidence("steps on one batch", num_steps),
            Evidence("first operation that makes samples equal", facts["merged_by"]),
        ],
        subject=facts["merged_module"],
        num_steps=num_steps,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (SwapSamples(),)


probe = Probe(
    name="output-variety",
    doc=__doc__,
    rules=(COLLAPSED,),
    examine=examine,
    experiments=experiments,
)
