"""An optimizer that was built, and not stepped, while others were: half of a GAN, mostly."""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.probing import Confidence, Evidence, Finding, Rule
from traindoctor.probing.wording import counted, first_location, grouped
from traindoctor.trace import ParameterRow, Trace

LEAST = 20  # steps of the others


def idle(rule: Rule, run: Trace) -> Iterator[Finding]:
    """Yield the finding for each optimizer of a watched run that took no step to its end.

    Nothing else moved what it holds; where that is unknown, being no part of the models that were
    seen from the beginning, the finding is likely.
    """
    if run.setup.kind != "script" or not run.facts.get("ended"):
        return
    steps: dict[int, int] = {}
    for pulse in run.pulses:
        steps[pulse.optimizer] = max(steps.get(pulse.optimizer, 0), pulse.last_step + 1)
    moved = set(run.facts.get("moved", ()))
    for row in run.optimizers:
        own = [p for p in run.parameters if _belongs(p, row.index)]
        names = {p.name for p in own}
        if row.index in steps or not steps or max(steps.values()) < LEAST:
            continue
        is_known = len(own) == row.num_held
        if names & moved or not (is_known or row.num_strangers == row.num_held > 0):
            continue
        others = sum(steps.values())
        held = grouped(names) if is_known else counted(row.num_held, "parameter")
        yield rule.finding(
            f"{row.class_name} holds {held} and was not stepped once, while the other optimizers "
            f"took {counted(others, 'step')}.",
            confidence=None if is_known else Confidence.LIKELY,
            mechanism="backward() computes gradients for all that a loss depends on; only the "
            "step of the optimizer that holds a parameter applies them.",
            location=first_location([row.place, run.setup.factory]),
            evidence=[
                Evidence("steps of this optimizer", 0),
                Evidence("steps of the others", others),
                *([Evidence("its parameters that moved", 0, len(own))] if is_known else []),
            ],
            subject=f"optimizer {row.index}",
            num_backwards=run.num_backwards,
            step=f"step of the {row.class_name} that holds {held}",
        )


def _belongs(row: ParameterRow, optimizer: int) -> bool:
    return row.group is not None and row.group[0] == optimizer and row.num_optimizers == 1
