"""Tells epochs that were spent on one batch each from steps that are taken on one on purpose."""

from __future__ import annotations

from traindoctor.trace import LoaderRow, PassRow, Trace

FEWEST_PASSES, FEWEST_BATCHES = 3, 4  # by which the number of steps is no chance


def kept_for_an_epoch(run: Trace, loader: LoaderRow, passes: list[PassRow]) -> list[PassRow]:
    """Return the passes of one batch each, if a watched run took an epoch's steps on each of them.

    An inner loop has a number of steps of its own; as many as the loader has batches are an epoch.
    """
    number = loader.num_batches or 0
    are_all = loader.num_evaluations == 0 and loader.num_fetched == loader.num_passes
    is_one_each = all(p.is_by_user and p.num_batches == 1 and not p.has_ended for p in passes)
    num_steps = sum(row.num_steps for row in run.pulses)
    is_enough = number >= FEWEST_BATCHES and loader.num_passes >= FEWEST_PASSES
    if is_enough and are_all and is_one_each and num_steps == number * loader.num_passes:
        return passes
    return []
