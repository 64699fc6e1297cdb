"""The batches of a step or loop of the user's own that were served and not trained on."""

from __future__ import annotations

from traindoctor.trace import BatchRow, Trace
from traindoctor_probes._leaving import Leaving


def missing_batches(run: Trace) -> list[BatchRow]:
    """Return the full batches that no backward pass or step belongs to, but for an epoch's last.

    Batches that were evaluated on are none of them: those that the model saw without gradients,
    and passes over the loader in which nothing was trained, if anything was in others. Nothing is
    missing where the run ended early, where weights move without any backward pass, where as
    many passes as batches were seen (they may be fetched ahead, or kept), or where what is missing
    is the run's beginning. Of a watched run only the first batches count: later ones stand there
    because something was wrong with them.
    """
    is_watched = run.setup.kind == "script"
    batches = run.batches[: run.facts.get("num_batches_asked") if is_watched else None]
    if not run.setup.trains_by_hand or run.exceptions or not batches:
        return []
    if run.facts.get("moved") and not run.backwards:  # by `autograd.grad`, or by no gradient
        return []
    reached = {row.batch for row in run.backwards} | {row.batch for row in run.steps}
    reached |= {batch for row in run.backwards for batch in row.through}
    trained_in = {_pass(row) for row in batches if row.index in reached}
    full = max((row.size or 0 for row in batches), default=0)
    evaluated = set(run.facts.get("evaluated_batches", ()))
    served = [
        row
        for row in batches
        if row.index not in evaluated
        and (row.size or full) == full
        and (not trained_in or _pass(row) in trained_in)
    ]
    lasts = {_pass(row): row.index for row in batches} if reached else {}
    missing = [row for row in served if row.index not in reached | set(lasts.values())]
    start = served[: len(missing)]
    if missing == start and len(missing) < len(served):  # steps begin after a warm-up
        return []
    return missing[: max(0, len(served) - len(run.backwards))]


def _pass(row: BatchRow) -> tuple[int | None, int | None]:
    return row.loader, row.epoch


def is_meant(run: Trace, conditions: list[Leaving]) -> bool:
    """Tell whether batches are left by a plan, or kept for a later step.

    A limit that is not reached yet is a warm-up, as far as can be seen, if nothing was trained.
    """
    is_warm_up = not run.backwards and any(condition.is_start for condition in conditions)
    return is_warm_up or any(condition.is_meant for condition in conditions)
