"""Are gradients averaged over the processes before they are used?

## What it measures
The bits of every parameter's gradient on each rank at steps 1, 2, 5, 10, 20, 50, …: as the last
backward pass left them and as the optimizer saw them. Beside that, whether the model was called
through its DistributedDataParallel, past it, or inside `no_sync`.

## Why it matters
Every rank trains a model of its own on its own share of the data. The one that is saved has seen a
fraction of it, at a fraction of the batch size that the learning rate was chosen for.

## Known limits
Silent where parameters are sharded, and where the script exchanges weights by itself (local SGD,
averaging every few steps). Without any wrapper it is said only where all ranks start from equal
weights and no collective is given weights or gradients, and then as likely. Parameters beside the
wrapper that start differently on each rank are taken for a part of the model that is meant to.

## References
PyTorch, "Distributed Data Parallel" (notes). Li et al. 2020, "PyTorch Distributed".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import first_location, grouped, location
from traindoctor.trace import DigestRow, Place, Trace
from traindoctor_probes._ranks import (
    Rows,
    by_rank,
    differing,
    is_data_parallel,
    own_parts,
    refuse_what_cannot_be_compared,
    steps_beside,
)

CALL_WRAPPER = Remedy(
    "Call the wrapper",
    recommended=True,
    pros="Its backward pass averages the gradients.",
    before="loss = criterion(model.module(inputs), labels)",
    after="loss = criterion(model(inputs), labels)",
)
LEAVE_NO_SYNC = Remedy(
    "Leave `no_sync` for the last batch before a step",
    before="with model.no_sync():\n    for batch in group:\n        model(batch).backward()\n"
    "optimizer.step()",
    after="with model.no_sync():\n    for batch in group[:-1]:\n        model(batch).backward()\n"
    "model(group[-1]).backward()\noptimizer.step()",
)
WRAP = Remedy(
    "Wrap the model when it is whole, before the optimizer is built",
    before="model = Net()\noptimizer = AdamW(model.parameters())",
    after="model = DistributedDataParallel(Net())\noptimizer = AdamW(model.parameters())",
)

NOT_REDUCED = Rule(
    code="TD903",
    name="gradients-not-reduced",
    severity=Severity.CRITICAL,
    title="{num_apart} of {num_parameters} gradients are not averaged over the ranks",
    what="Each process steps on the gradients of its own batches.",
    why="The ranks train models of their own, each on a share of the data.",
    known_limits="Silent where parameters are sharded or weights are exchanged by the script. "
    "Without a wrapper only where all ranks start from equal weights.",
    remedies=(CALL_WRAPPER, LEAVE_NO_SYNC, WRAP),
    explains=("TD902",),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for the first step whose gradients differ as the backward pass left them."""
    run = ask(CompareRanks())
    refuse_what_cannot_be_compared(run)
    own = own_parts(run)
    for rows in steps_beside(run):
        apart = [name for name in differing(rows, "gradients") if name not in own]
        if set(apart) & set(differing(rows, "reduced")) and is_meant_as_one(run):
            yield not_reduced(run, rows, apart)
            return


def is_meant_as_one(run: Trace) -> bool:
    """Tell whether the ranks train one model: they share gradients, or began with equal weights."""
    if all(is_data_parallel(row) for row in run.ranks):
        return True
    calls = [call for row in run.ranks for call in row.collectives]
    first = [rows for rows in steps_beside(run) if rows[0].step == 1]
    begin_alike = bool(first) and not any(differing(rows, "before") for rows in first)
    return (
        all(row.has_group and not row.wrappers for row in run.ranks)
        and begin_alike
        and not any(call.of or call.name.endswith(("send", "recv")) for call in calls)
    )


def not_reduced(run: Trace, rows: Rows, apart: list[str]) -> Finding:
    """Return the finding, at what kept the gradients from being averaged."""
    wrappers = [wrapper for row in run.ranks for wrapper in row.wrappers]
    bypassed = next((w for w in wrappers if w.num_bypassed), None)
    unsynced = next((w for w in wrappers if w.num_unsynced), None)
    beside = sorted(set(apart) & set(rows[0].unwrapped))
    confidence = Confidence.CERTAIN
    remedies: tuple[Remedy, ...] = (replace(WRAP, recommended=True),)
    if bypassed is not None:
        how = (
            f"The model inside the wrapper was called {bypassed.num_bypassed} times past it, with "
            f"gradients, and {bypassed.num_calls} times through it."
        )
        place, remedies = bypassed.bypassed_place, (CALL_WRAPPER,)
    elif unsynced is not None and not all(row.is_synced for row in rows):
        how = "The last backward pass before the step was one of a call inside `no_sync`."
        place, remedies = unsynced.unsynced_place, (replace(LEAVE_NO_SYNC, recommended=True),)
    elif beside:
        how = f"No wrapper had {grouped(beside)} when it was built."
        place = next((w.place for w in wrappers if w.place), Place())
    elif not wrappers:
        how = "No wrapper was built, and no collective was given weights or gradients."
        place, confidence = rows[0].backward_place, Confidence.LIKELY
    else:
        how = "What kept them from being averaged was not seen."
        place, remedies = rows[0].backward_place, NOT_REDUCED.remedies
    return NOT_REDUCED.finding(
        f"At step {rows[0].step} the gradients of {grouped(apart)} differ between the ranks as the "
        f"backward pass leaves them. {how}",
        confidence=confidence,
        severity=Severity.ERROR if confidence is Confidence.LIKELY else None,
        mechanism="DistributedDataParallel averages gradients during the backward pass of an "
        "output that it returned itself. What is computed past it has the gradients of one rank's "
        "batch.",
        location=first_location([place, rows[0].backward_place, rows[0].place]),
        also_at=[location(rows[0].place)] if rows[0].place else [],
        evidence=evidence(rows, apart),
        remedies=remedies,
        num_apart=len(apart),
        num_parameters=len(rows[0].parameters),
    )


def evidence(rows: tuple[DigestRow, ...], apart: list[str]) -> list[Evidence]:
    """Return what was compared."""
    return [
        Evidence("gradients that differ between ranks", len(apart), 0),
        Evidence("gradients compared", len(rows[0].parameters)),
        Evidence("gradient norm", by_rank(rows, "gradient_norm"), "equal"),
        Evidence("first step at which they differ, of those compared", rows[0].step),
    ]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareRanks(),)


probe = Probe(
    name="rank-gradients",
    doc=__doc__,
    rules=(NOT_REDUCED,),
    examine=examine,
    experiments=experiments,
)
