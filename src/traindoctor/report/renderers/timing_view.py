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
    if timing.get("forward_samples_per_second"):
        page.put_labelled("forward" if timing["what"] == "step" else "", _forward(timing))
    if timing["claim"]:
        page.put_labelled("claim", _run(timing))
    if timing.get("outlook"):
        page.put_labelled("outlook", _outlook(timing["outlook"]))
    page.put()


def _step(timing: dict[str, Any]) -> str:
    if not timing["seconds"]:
        return "could not be run"
    rate = timing["samples_per_second"]
    speed = f", {rate:,.0f} samples/s" if rate else ""
    alone = " (no batch came to a backward pass)" if timing["what"] == "forward" else ""
    size = timing["batch_size"] or "unknown"
    return f"{duration(timing['seconds'])} on {size} samples{speed}{alone}"


def _arithmetic(timing: dict[str, Any]) -> str:
    return (
        f"{figure(timing['flops_per_sample'])} FLOPs a sample, "
        f"{figure(timing['peak_flops_per_second'])} FLOP/s at most on this device: "
        f"{timing['most_samples_per_second']:,.0f} samples/s is the bound"
    )


def _forward(timing: dict[str, Any]) -> str:
    return (
        f"{timing['forward_samples_per_second']:,.0f} samples/s at most in a forward alone, in "
        f"batches of {timing['forward_batch_size']}"
    )


def _run(timing: dict[str, Any]) -> Text:
    claim = timing["claim"]
    text = Text(
        f"{claim['samples']:,} samples in {duration(claim['seconds'])}, "
        f"{claim['samples_per_second']:,.0f} samples/s"
    )
    times = claim["times_too_fast"]
    if times:
        least = "at least " if timing["what"] == "forward" else ""
        text.append(
            f": {figure(times)} times the measured speed, at which it takes "
            f"{least}{duration(claim['plausible_seconds'])}"
            if times > 1
            else f": possible; at the measured speed it takes {least}"
            f"{duration(claim['plausible_seconds'])}"
        )
    return text


def _outlook(outlook: dict[str, Any]) -> str:
    epochs = f" in {outlook['epochs']} epochs" if outlook["epochs"] > 1 else ""
    if outlook["known"] == "seconds":
        most = outlook["most_samples"]
        bound = f", and never for more than {most:,}" if most else ""
        return (
            f"{duration(outlook['seconds'])} suffice for {outlook['samples']:,} samples{epochs} "
            f"at the measured speed{bound}; --samples says how many a log tells of"
        )
    whose = " of this loader" if outlook["is_loaders"] else ""
    least = outlook["least_seconds"]
    bound = f", and never less than {duration(least)}" if least else ""
    return (
        f"{outlook['samples']:,} samples{whose}{epochs} take {duration(outlook['seconds'])} at the "
        f"measured speed{bound}; --seconds says what a log tells of"
    )
