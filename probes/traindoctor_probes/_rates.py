"""Runs of one batch at several learning rates: tried, and told side by side."""

from __future__ import annotations

import math
from typing import Any

from traindoctor.experiments import OverfitBatch
from traindoctor.probing import Ask, Evidence, Series
from traindoctor.probing.wording import figure
from traindoctor.trace import Trace

USEFUL_RATIO = 1e-2  # of update to weights: what a rate that moves nothing is raised to


def update_ratio(run: Trace) -> float:
    """Return the largest ratio of a step's update to the weights, over all the model's elements."""
    sizes = {row.name: row.num_elements for row in run.parameters}
    ratios = [0.0]
    for step in {row.step for row in run.updates}:
        rows = [row for row in run.updates if row.step == step and row.parameter in sizes]
        moved = sum(row.update_rms**2 * sizes[row.parameter] for row in rows)
        weights = sum(row.weight_rms**2 * sizes[row.parameter] for row in rows)
        if weights and math.isfinite(moved / weights):
            ratios.append((moved / weights) ** 0.5)
    return max(ratios)


def raising_factor(ratio: float, useful: float = USEFUL_RATIO) -> float:
    """Return the power of ten that makes a step's ratio to the weights a useful one."""
    return float(10.0 ** round(math.log10(useful / ratio)))


def try_rates(
    ask: Ask, factors: tuple[float, ...], rate: float, max_seconds: float
) -> Trace | None:
    """Return the run of the first factor at which the setup's own optimizer learns the batch.

    A run that really trained at another rate than asked for (a step that sets its own) is none.
    """
    for factor in factors:
        run = ask(OverfitBatch(factor=factor, max_seconds=max_seconds))
        facts = run.facts["overfit"]
        used = facts["learning_rate"] or 0.0
        far = 0.1 if facts["out_of_time"] else 0.5
        came_far = facts["learned"] is True or (facts["progress"] or 0.0) >= far
        calm = facts["peak"] is not None and facts["peak"] <= 2 * abs(facts["start"])
        if came_far and calm and math.isclose(used, rate * factor, rel_tol=1e-3):
            return run
    return None


def compared(own: Trace, better: Trace) -> str:
    """State what became of one batch at both rates."""
    facts, other = own.facts["overfit"], better.facts["overfit"]
    return (
        f"One batch, trained on alone, went from {figure(facts['start'])} to "
        f"{figure(facts['end'])} in {facts['steps']} steps at {figure(facts['learning_rate'])} "
        f"(highest {figure(facts['peak'])}), and to {figure(other['end'])} in {other['steps']} "
        f"steps at {figure(other['learning_rate'])}."
    )


def both(facts: dict[str, Any], other: dict[str, Any]) -> list[Evidence]:
    """Return how far one batch came at both rates."""
    return [
        Evidence(f"way gone at {figure(which['learning_rate'])}", which["progress"], "close to 1")
        for which in (facts, other)
    ]


def curves(*runs: Trace) -> list[Series]:
    """Return the loss curves of runs on one batch, named by their rates."""
    return [
        Series(
            f"one batch at {figure(run.facts['overfit']['learning_rate'])}",
            tuple(range(len(run.losses))),
            tuple(row.value for row in run.losses),
        )
        for run in runs
    ]
