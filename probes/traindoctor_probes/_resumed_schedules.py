"""Schedules that begin anew where the training goes on: two runs are compared for it."""

from __future__ import annotations

from math import isclose

from traindoctor.probing import Evidence, Finding, Remedy, Rule
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import SchedulerRow, Trace
from traindoctor_probes._handling import around_the_restart

# Those that restart by design, and those whose next rate follows from the last one alone.
LEFT_ALONE = {
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ReduceLROnPlateau",
    "ExponentialLR",
    "MultiplicativeLR",
}
MOST_PREPARING = 1  # steps of a scheduler before the optimizer's first: more bring it forward
FEWEST_RATES, FIRST = 2, 8  # rates that are compared


def begun_anew(run: Trace, row: SchedulerRow) -> SchedulerRow | None:
    """Return the schedule of the run before that this one repeats from its first rate on."""
    earlier = run.facts.get("earlier") or {}
    is_resumed = any(checkpoint.module_class for checkpoint in run.checkpoints)
    is_at_start = row.position == 0 and row.num_before <= MOST_PREPARING and not row.num_told
    if not earlier or not is_resumed or not is_at_start or row.class_name in LEFT_ALONE:
        return None
    schedulers: tuple[SchedulerRow, ...] = earlier["schedulers"]
    for before in schedulers:
        same = (before.class_name, before.optimizer, before.settings, before.place.text)
        if same != (row.class_name, row.optimizer, row.settings, row.place.text):
            continue
        if is_repeated(row, before):
            return before
    return None


def is_repeated(row: SchedulerRow, before: SchedulerRow) -> bool:
    """Tell whether the first rates are those of another schedule, which had left them behind."""
    pairs = list(zip(row.rates[:FIRST], before.rates, strict=False))
    last = before.last_rate
    if len(pairs) < FEWEST_RATES or last is None or not row.rates[0] or not before.rates[0]:
        return False
    # Where the optimizer's state was restored its rate was as well: the course is that of a factor.
    factor = row.rates[0] / before.rates[0]
    is_same = all(isclose(a, factor * b, rel_tol=1e-6, abs_tol=1e-12) for a, b in pairs)
    return is_same and not any(isclose(b, last, rel_tol=0.01) for _, b in pairs)


def anew(rule: Rule, run: Trace, row: SchedulerRow, before: SchedulerRow) -> Finding:
    """Return the finding for a schedule whose state was not restored."""
    return rule.finding(
        f"{row.class_name} had gone {counted(before.num_steps, 'step')} in the run before, "
        f"to a rate of {figure(before.last_rate)}; this run goes on from a checkpoint, and "
        f"{row.class_name} goes from {figure(row.rates[0])} on as it did at its beginning.",
        mechanism="A scheduler counts its own steps. Built anew and given no state, it counts from "
        "zero, whatever the weights have been through.",
        location=first_location([row.place, row.step_place, run.setup.factory]),
        also_at=[location(c.place) for c in run.checkpoints if c.module_class and c.place][:1],
        evidence=[
            Evidence("position of the scheduler at the start", 0, before.num_steps),
            Evidence("rates of the first steps", _figures(row.rates)),
            Evidence("and in the run before", _figures(before.rates)),
            Evidence("last rate of the run before", figure(before.last_rate)),
            *around_the_restart(run),
        ],
        remedies=[
            Remedy(
                "Save the scheduler's state and restore it",
                recommended=True,
                before='optimizer.load_state_dict(checkpoint["optimizer"])',
                after='optimizer.load_state_dict(checkpoint["optimizer"])\n'
                'scheduler.load_state_dict(checkpoint["scheduler"])',
            )
        ],
        subject=f"optimizer {row.optimizer}",
        name=row.class_name,
        how="begun anew in a run that goes on",
    )


def _figures(rates: tuple[float, ...]) -> str:
    return ", ".join(figure(rate) for rate in rates[:4])
