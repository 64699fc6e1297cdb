"""The batches of a step or loop of the user's own that were served and not trained on."""

from __future__ import annotations

from traindoctor.trace import BatchRow, Trace


def missing_batches(run: Trace) -> list[BatchRow]:
    """Return the full batches that no backward pass or step belongs to, but for the last.

    Batches that were evaluated on are none of them: those that the model saw without gradients,
    and passes over the loader in which nothing was trained, if anything was in others. Nothing is
    missing where the run ended early, or where weights move without any backward pass.
    """
    if not run.setup.trains_by_hand or run.exceptions or not run.batches:
        return []
    if run.facts.get("moved") and not run.backwards:  # by `autograd.grad`, or by no gradient
        return []
    reached = {row.batch for row in run.backwards} | {row.batch for row in run.steps}
    reached |= {batch for row in run.backwards for batch in row.through}
    trained_in = {row.epoch for row in run.batches if row.index in reached}
    full = max((row.size or 0 for row in run.batches), default=0)
    spared = reached | set(run.facts.get("evaluated_batches", ()))
    if reached:
        spared.add(run.batches[-1].index)
    return [
        row
        for row in run.batches
        if row.index not in spared
        and (row.size or full) == full
        and (not trained_in or row.epoch in trained_in)
    ]
