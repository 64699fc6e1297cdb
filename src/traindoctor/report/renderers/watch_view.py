"""What a watched run came to, and what watching it cost."""

from __future__ import annotations

from rich.text import Text

from traindoctor.report.record import Report
from traindoctor.report.renderers.page import Page, count


def num_steps_seen(report: Report) -> int:
    """Return how many steps of a watched run were seen."""
    return int(report.measurements.get("seen", {}).get("steps") or 0)


def passes_seen(report: Report) -> str:
    """Return how many backward passes were seen: of a run whose weights are moved by hand."""
    number = int(report.measurements.get("seen", {}).get("backwards") or 0)
    return count(number, "backward pass", "backward passes")


def raised(report: Report) -> str:
    """Return the exception that ended a watched script, or an empty string."""
    return str(report.measurements.get("seen", {}).get("raised") or "")


def lost(report: Report) -> str:
    """Return which of several processes did not come to their end, or an empty string."""
    return str(report.measurements.get("seen", {}).get("lost") or "")


def what_was_seen(report: Report) -> str:
    """Say what there was of a watched run in which nothing stepped."""
    seen = report.measurements.get("seen", {})
    status = "" if raised(report) else seen.get("status")
    ended = [f"the script ended with status {status}"] if status else []
    if not seen.get("torch"):
        return "".join(ended) or "the script did not import torch"
    if ended and not any(seen.get(name) for name in ("batches", "forwards", "backwards")):
        return ended[0]
    parts = [
        count(int(seen.get("batches") or 0), "batch", "batches"),
        count(int(seen.get("forwards") or 0), "forward pass", "forward passes"),
        count(int(seen.get("backwards") or 0), "backward pass", "backward passes"),
    ]
    return "; ".join([", ".join(parts), *ended])


def put_watch(page: Page, report: Report) -> None:
    """Say what watching a run cost, and how the run ended where that was not by itself."""
    ended = report.measurements.get("seen", {}).get("ended", "")
    if ended.startswith("killed"):
        page.put(Text(f"The script was {ended}.", style="bold"))
    if lost(report):
        page.put(Text(f"Not all processes came to their end: {lost(report)}", style="bold"))
    elif raised(report) and not report.findings:
        page.put(Text(f"The script ended with an exception: {raised(report)}", style="bold"))
    watch = report.measurements.get("watch") or {}
    if watch.get("share") is not None and watch["opening_steps"]:
        steps = int(watch["opening_steps"])
        opening = "step, which was" if steps == 1 else f"{count(steps, 'step')}, which were"
        after = f"after the first {opening} seen in full"
        page.put(f"Watching took {watch['share']:.1%} of the time {after}.", style="dim")
