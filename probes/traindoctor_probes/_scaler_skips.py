"""Steps that a gradient scaler skips, and the scale that it is left with."""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.probing import Evidence, Finding, Remedy, Rule, Series
from traindoctor.probing.wording import counted, figure, first_location
from traindoctor.trace import Trace

MANY, TOO_OFTEN = 50, 0.1
COLLAPSED, IN_A_ROW = 2.0**-6, 20


def skipping(rule: Rule, run: Trace) -> Iterator[Finding]:
    """Yield a finding for each scaler that skips more than a scaler should."""
    for row in run.scalers:
        has_collapsed = (
            row.longest_skip >= IN_A_ROW and bool(row.scales) and row.scales[-1] < COLLAPSED
        )
        share = row.num_late_skipped / row.num_late if row.num_late else 0.0
        if not has_collapsed and (row.num_late < MANY or share <= TOO_OFTEN):
            continue
        first, last = (row.scales[0], row.scales[-1]) if row.scales else (None, None)
        what = "its scale has collapsed" if has_collapsed else f"it skips {share:.0%} of the steps"
        yield rule.finding(
            f"The scaler skipped {row.num_skipped} of {counted(row.num_steps, 'step')}, "
            f"{row.longest_skip} of them in a row; its scale went from {figure(first)} to "
            f"{figure(last)}.",
            mechanism="It skips a step when a gradient is not finite, and halves its scale. Where "
            "the scale is not what makes them so, halving does not help: the loss or a gradient is "
            "infinite or NaN by itself.",
            location=first_location([row.step_place, row.place, run.setup.factory]),
            evidence=[
                Evidence("steps that it skipped", row.num_skipped, "few"),
                Evidence("steps", row.num_steps),
                Evidence("skipped after its warm-up", row.num_late_skipped, "below a tenth"),
                Evidence("skipped in a row", row.longest_skip),
                Evidence("scale", last),
            ],
            series=[Series("scale", tuple(range(len(row.scales))), row.scales)],
            remedies=[
                Remedy(
                    "Find what is not finite without the scaler",
                    recommended=True,
                    after="scaler = torch.amp.GradScaler(enabled=False)\n"
                    "torch.autograd.set_detect_anomaly(True)",
                ),
                rule.remedies[1],
            ],
            explains=("TD404", "TD405", "TD409", "TD6"),
            what=what,
        )
