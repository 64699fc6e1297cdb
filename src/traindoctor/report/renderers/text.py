"""The report for a person at a terminal: causes first, then the families, then the verdict."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from traindoctor.codec import map_strings
from traindoctor.probing.rule import Family
from traindoctor.report.record import ProbeRecord, Report
from traindoctor.report.renderers.backward_view import put_backward
from traindoctor.report.renderers.batch_view import put_batch
from traindoctor.report.renderers.document import batches, is_known, reason_of
from traindoctor.report.renderers.finding_block import put_finding
from traindoctor.report.renderers.flow_view import put_flow
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.overfit_view import put_overfit
from traindoctor.report.renderers.page import Page, count, harmless
from traindoctor.report.renderers.steps_view import put_steps
from traindoctor.report.renderers.stopped import stopped_by
from traindoctor.report.renderers.timing_view import put_timing
from traindoctor.report.renderers.watch_view import (
    lost,
    num_steps_seen,
    passes_seen,
    put_watch,
    raised,
    what_was_seen,
)

VIEWS = {
    "overfit": put_overfit,
    "gradflow": put_flow,
    "steps": put_steps,
    "backward": put_backward,
    "batch": put_batch,
    "timing": put_timing,
}
"""What a command shows before the findings."""

MOST_REASONS, MOST_REASON_LETTERS = 4, 150
_WORST_FIRST = {"✗": "red", "!": "yellow", "–": "dim", "✓": "green"}


def render(report: Report, look: Look) -> str:
    """Return the report as text."""
    report = map_strings(report, harmless)
    page = Page(look)
    if look.verbosity < 0:
        page.put(verdict_line(report))
        return page.text()
    _put_head(page, report)
    view = VIEWS.get(_command_word(report))
    if view is not None:
        view(page, report)
    by_id = {finding.id: finding for finding in report.findings}
    for finding in report.findings:
        if finding.role == "root-cause":
            put_finding(page, finding, [by_id[other] for other in finding.explains])
            page.put()
    if report.target.model is not None:
        _put_loose_ends(page, report)
        page.put_packed(_families(report))
    put_watch(page, report)
    if stopped_by(report):
        page.put(Text(f"Training ended with an exception: {stopped_by(report)}", style="bold"))
    page.put(Text(verdict_line(report), style="bold"))
    return page.text()


def verdict_line(report: Report) -> str:
    """Return the verdict in a sentence."""
    summary, statuses = report.summary, Counter(probe.status for probe in report.probes)
    if is_known(report):
        return f"Training is {report.verdict}, as the baseline knows; nothing is new."
    if report.target.kind == "source" and report.findings:
        files = count(int(report.target.data.get("files") or 0), "file")
        return f"{count(len(report.findings), 'finding')} in {files}."
    if report.verdict in ("blocked", "unwell"):
        causes = count(summary.root_causes, "root cause")
        symptoms = f", {count(summary.symptoms, 'symptom')}" if summary.symptoms else ""
        return f"Training is {report.verdict}: {causes}{symptoms}."
    num_passed = statuses["passed"]
    if report.target.kind == "source":
        files = count(int(report.target.data.get("files") or 0), "file")
        return f"{files} read, nothing found; only a run shows the rest: `traindoctor check`."
    if report.verdict == "healthy":
        steps = sum(experiment.steps for experiment in report.experiments)
        seen = count(steps, "step") if steps else passes_seen(report)
        found = f"{count(num_passed, 'probe')} found nothing wrong in {seen}"
        return f"Healthy: {found}."
    if report.target.kind == "script" and not num_steps_seen(report):
        return f"Inconclusive: no optimizer step was seen; {what_was_seen(report)}."
    num_open = statuses["skipped"] + statuses["errored"]
    if report.target.model is None:
        reason = " ".join(report.probes[0].reason.split()) if report.probes else ""
        return f"Inconclusive: nothing was examined; {reason or 'nothing is known of the run'}"
    if lost(report) and not raised(report):
        return "Inconclusive: nothing found in what came before a process was lost."
    if raised(report):
        return "Inconclusive: nothing found in what came before the exception."
    if num_open:
        could_not = f"{num_open} of {count(len(report.probes), 'probe')} could not judge"
        return f"Inconclusive: nothing found, but {could_not}."
    return f"Nothing found by {count(num_passed, 'probe')}; the others did not run."


def _command_word(report: Report) -> str:
    words = report.command.split()
    return words[1] if len(words) > 1 else ""


def _put_head(page: Page, report: Report) -> None:
    environment = report.environment
    facts = [f"torch {environment['torch']}"] if environment.get("torch") else []
    facts += [str(environment["device"])] if environment.get("device") else []
    facts.append(f"{report.duration_seconds:.1f} s")
    page.put_ends(Text(report.command, style="bold"), " · ".join(facts))
    model, data = report.target.model, report.target.data
    if model is not None:
        trained = f" ({model.trainable:,} trainable)" if model.trainable != model.parameters else ""
        line = f"{model.class_name}, {count(model.parameters, 'parameter')}{trained}"
        if data.get("batches"):
            line += f" · {batches(data)}"
        number = report.target.distributed.get("world_size", 1)
        if number > 1:
            seen = len(report.target.distributed.get("ranks", ())) or 1
            line += f" · rank 0 of {number}" if seen == 1 else f" · {number} ranks"
            line += f", {seen} of them seen" if 1 < seen < number else ""
        page.put(line, style="dim")
    page.put()


def _put_loose_ends(page: Page, report: Report) -> None:
    """Say what was not examined, and why; and what the user silenced."""
    is_verbose = page.look.verbosity > 0
    broken = [probe for probe in report.probes if probe.status == "errored"]
    skipped = [probe for probe in report.probes if probe.status == "skipped"]
    for probe in broken:
        page.put(Text.assemble(("✗ ", "red"), f"{probe.name} broke off: {probe.reason}"))
    groups: dict[str, list[ProbeRecord]] = {}
    for probe in skipped:
        groups.setdefault(reason_of(probe), []).append(probe)
    shown = list(groups.items()) if is_verbose else list(groups.items())[:MOST_REASONS]
    for reason, probes in shown:
        page.put(Text(f"– not examined: {_who(probes, is_verbose)} – {_cut(reason, is_verbose)}"))
    if len(shown) < len(groups):
        page.put(f"– {len(groups) - len(shown)} more reasons with -v", style="dim")
    for item in report.suppressed:
        where = f" at {item.where}" if item.where else ""
        page.put(f"· {item.code}{where} is silenced in the {item.by}: {item.reason}")
    if broken or skipped or report.suppressed:
        page.put()


def _who(probes: list[ProbeRecord], is_verbose: bool) -> str:
    names = [probe.name for probe in probes]
    if is_verbose or len(names) <= 3:
        return ", ".join(names)
    return count(len(names), "probe")


def _cut(reason: str, is_verbose: bool) -> str:
    line = " ".join(reason.split())
    if is_verbose or len(line) <= MOST_REASON_LETTERS:
        return line
    return line[:MOST_REASON_LETTERS] + "…"


def _families(report: Report) -> list[Text]:
    """Return how many rules of each family found something, were quiet or did not speak."""
    marks: dict[Family, Counter[str]] = {}
    for probe in report.probes:
        for code in probe.rules:
            family = Family(int(code[2]))
            marks.setdefault(family, Counter())[_mark(code, probe, report)] += 1
    parts = []
    for family in sorted(marks, key=lambda family: family.value):
        part = Text(family.label)
        for mark, style in _WORST_FIRST.items():
            if marks[family][mark]:
                part.append(f" {mark}{marks[family][mark]}", style=style)
        parts.append(part)
    return parts


def _mark(code: str, probe: ProbeRecord, report: Report) -> str:
    severities = {finding.severity for finding in report.findings if finding.code == code}
    if severities & {"critical", "error"}:
        return "✗"
    is_known = any(item.code == code and item.by == "baseline" for item in report.suppressed)
    if "warning" in severities or is_known:
        return "!"
    return "✓" if probe.status in ("passed", "failed") else "–"
