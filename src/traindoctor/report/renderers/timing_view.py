"""How fast a step is, how fast it could be, and whether a claimed run fits."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from traindoctor.probing.wording import duration
from traindoctor.report.record import Report
from traindoctor.report.renderers.page import Page, figure


def put_timing(page: Page, report: Report) -> None:
    """Write the figures; nothing where no step was measured."""
    timing = report.measurements.get("timing")
    if timing is None:
        return
    page.put_labelled(timing["what"], _step(timing))
    if timing["flops_per_sample"]:
        page.put_labelled("compute", _arithmetic(timing))
    if timing["claim"]:
        page.put_labelled("claim", _run(timing["claim"]))
    page.put()


def _step(timing: dict[str, Any]) -> str:
    if not timing["seconds"]:
        return "could not be run"
    rate = timing["samples_per_second"]
    speed = f", {rate:,.0f} samples/s" if rate else ""
    return f"{duration(timing['seconds'])} on {timing['batch_size'] or 'unknown'} samples{speed}"


def _arithmetic(timing: dict[str, Any]) -> str:
    return (
        f"{figure(timing['flops_per_sample'])} FLOPs a sample, "
        f"{figure(timing['peak_flops_per_second'])} FLOP/s at most on this device: "
        f"{timing['most_samples_per_second']:,.0f} samples/s is the bound"
    )


def _run(claim: dict[str, Any]) -> Text:
    text = Text(
        f"{claim['samples']:,} samples in {duration(claim['seconds'])}, "
        f"{claim['samples_per_second']:,.0f} samples/s"
    )
    if claim["times_too_fast"]:
        text.append(
            f"; {figure(claim['times_too_fast'])} × the measured speed, at which it takes "
            f"{duration(claim['plausible_seconds'])}"
        )
    return text
