"""Do all processes hold the same weights?

## What it measures
The bits of weights and gradients on each rank, before and after steps 1, 2, 5, 10, 20, 50, …: which
of these is the first to differ says which operation did.

## Why it matters
Data parallelism averages gradients of one model. Once the ranks' weights are apart, each gradient
is that of another model; the loss looks well on each rank, and what is saved is one of several.

## Known limits
Only where gradients are averaged by DistributedDataParallel or by collectives on gradients; silent
where parameters are sharded, and where the script exchanges weights by itself. What differs by the
bit counts, however small. A difference that comes and goes between the steps compared is missed,
and so are two that cancel in a tensor's sum. Parameters beside the wrapper that start
differently on each rank are taken for a part of the model that is meant to.

## References
PyTorch, "Distributed Data Parallel" (notes).
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location, grouped
from traindoctor.trace import ClipRow, Place, Trace
from traindoctor_probes._ranks import (
    Rows,
    by_rank,
    differing,
    is_data_parallel,
    listed,
    own_parts,
    refuse_what_cannot_be_compared,
    steps_beside,
)

DIVERGE = Rule(
    code="TD902",
    name="weights-diverge",
    severity=Severity.CRITICAL,
    title="{num_apart} of {num_parameters} parameters differ between the ranks",
    what="The processes of one training hold different weights.",
    why="Gradients of different models are averaged; what is saved is one of them.",
    known_limits="Judged where gradients are averaged over the ranks, at steps 1, 2, 5, 10, 20, … "
    "alone. Sharded parameters and averaged weights are not compared.",
    remedies=(
        Remedy(
            "Do to gradients and weights on every rank what is done on one",
            recommended=True,
            pros="Only printing and saving belong to one rank.",
            before="if rank == 0:\n    clip_grad_norm_(model.parameters(), 1.0)",
            after="clip_grad_norm_(model.parameters(), 1.0)",
        ),
        Remedy(
            "Load or initialise weights before the model is wrapped",
            pros="The wrapper gives all ranks the weights of the first one when it is built.",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for the first step around which the weights differ, and for what differs first."""
    run = ask(CompareRanks())
    refuse_what_cannot_be_compared(run)
    if not all(is_data_parallel(row) for row in run.ranks):
        return
    last, own = 0, own_parts(run)
    for rows in steps_beside(run):
        found = dict.fromkeys(differing(rows, "before") + differing(rows, "after"))
        apart = [name for name in found if name not in own]
        if apart:
            yield diverged(run, rows, apart, last)
            return
        last = rows[0].step


def diverged(run: Trace, rows: Rows, apart: list[str], last: int) -> Finding:
    """Return the finding, at the operation that differed."""
    how, place = operation(run, rows, last)
    return DIVERGE.finding(
        f"After step {rows[0].step} the values of {grouped(apart)} are not the same on all ranks. "
        f"{how}",
        mechanism="Equal weights stay equal as long as every rank does the same to them. From the "
        "first difference on, the ranks average gradients of models that are not one.",
        location=first_location([place, rows[0].place]),
        evidence=[
            Evidence("parameters that differ between ranks", len(apart), 0),
            Evidence("first step at which they differ, of those compared", rows[0].step),
            Evidence("gradient norm at the step", by_rank(rows, "gradient_norm"), "equal"),
            *rates(rows),
        ],
        num_apart=len(apart),
        num_parameters=len(rows[0].parameters),
    )


def operation(run: Trace, rows: Rows, last: int) -> tuple[str, Place]:
    """Name what was the first to differ, and where the user's code does it."""
    step = rows[0].step
    if differing(rows, "before"):
        if step == 1:
            return "They differ before the first step.", Place()
        return f"They came to differ between step {last} and step {step}.", Place()
    if differing(rows, "gradients"):
        if differing(rows, "reduced"):
            return "The gradients differ as the backward pass leaves them.", rows[0].backward_place
        clip = clipped_apart(run)
        if clip is not None:
            return (
                "The gradients were equal after the backward pass, and are clipped on some ranks "
                f"alone: `{clip.place.text}`.",
                clip.place,
            )
        return (
            "The gradients were equal after the backward pass and differ at the step: they are "
            "changed between the two on some ranks alone.",
            rows[0].place,
        )
    if len({row.learning_rates for row in rows}) > 1:
        return "The gradients are equal, the learning rates are not.", rows[0].place
    return (
        "Weights and gradients are equal before the step: the optimizer's own settings or state "
        "differ.",
        rows[0].place,
    )


def clipped_apart(run: Trace) -> ClipRow | None:
    """Return clipping that is done on some ranks and not, or otherwise, on others."""
    sides = [{(c.place, c.kind): c for c in row.clips} for row in run.ranks]
    for side in sides:
        for key, clip in side.items():
            others = [other.get(key) for other in sides]
            if any(o is None or o.limits[:1] != clip.limits[:1] for o in others):
                return clip
    return None


def rates(rows: Rows) -> list[Evidence]:
    """Return the learning rates, if they differ."""
    if len({row.learning_rates for row in rows}) == 1:
        return []
    told = listed([f"rank {row.rank}: {max(row.learning_rates, default=0):.3g}" for row in rows])
    return [Evidence("largest learning rate", told, "equal")]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareRanks(),)


probe = Probe(
    name="rank-weights",
    doc=__doc__,
    rules=(DIVERGE,),
    examine=examine,
    experiments=experiments,
)
