"""What a document says beside its findings: status, expected result, checklist, what is open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

from traindoctor.probing.finding import Evidence
from traindoctor.probing.rule import Remedy
from traindoctor.probing.wording import duration
from traindoctor.report.record import ProbeRecord, Report, ReportedFinding
from traindoctor.report.renderers.page import count, figure
from traindoctor.report.renderers.stopped import TOO_FEW, stopped_by

MOST_AWAITED = 2  # of one cause

Roots = Sequence[ReportedFinding]


def status(report: Report) -> str:
    """Return the verdict with its counts."""
    summary = report.summary
    if is_known(report):
        return f"{report.verdict}, as the baseline knows: nothing is new"
    if report.verdict in ("blocked", "unwell"):
        causes = count(summary.root_causes, "root cause")
        symptoms = f", {count(summary.symptoms, 'symptom')}" if summary.symptoms else ""
        return f"{report.verdict}: {causes}{symptoms}"
    passed = sum(probe.status == "passed" for probe in report.probes)
    return f"{report.verdict}: {passed} of {count(len(report.probes), 'probe')} found nothing"


def is_known(report: Report) -> bool:
    """Tell whether a baseline knows all that there is."""
    is_ill = report.verdict in ("blocked", "unwell")
    return is_ill and not (report.summary.root_causes or report.summary.symptoms)


def headline(report: Report, roots: Roots) -> str:
    """Return what was found, in a line."""
    if roots:
        more = f", and {count(len(roots) - 1, 'other root cause')}" if len(roots) > 1 else ""
        whose = "" if report.target.kind == "source" else f"Training is {report.verdict}: "
        return f"{whose}{roots[0].title}{more}"
    if is_known(report):
        return f"Training is {report.verdict}, as the baseline knows; nothing is new"
    healthy = report.verdict == "healthy"
    return "Nothing wrong was found" if healthy else "Nothing could be said"


def when(created: str) -> str:
    """Return a moment as a person writes it."""
    moment = datetime.fromisoformat(created)
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()


def examined(report: Report) -> str:
    """Return the model and the data."""
    model, data = report.target.model, report.target.data
    if model is None:
        return "no model"
    what = f"{model.class_name}, {count(model.parameters, 'parameter')}"
    if model.trainable != model.parameters:
        what += f" ({model.trainable:,} trainable)"
    if data.get("batches"):
        what += f"; {batches(data)}"
    return f"{what}; examined in {report.duration_seconds:.1f} s"


def batches(data: dict[str, Any]) -> str:
    """Return how many batches an epoch has, or were seen where that is not known."""
    size = f" of {data['batch_size']}" if data.get("batch_size") else ""
    seen = " seen" if data.get("only_seen") else ""
    return f"{count(data['batches'], 'batch', 'batches')}{size}{seen}"


def machine(report: Report) -> str:
    """Return the versions and the device."""
    environment = report.environment
    named = [
        f"{name} {environment[name]}"
        for name in ("torch", "transformers", "python")
        if environment.get(name)
    ]
    return ", ".join([*named, str(environment.get("device", "unknown device"))])


def others(finding: ReportedFinding) -> list[tuple[str, str]]:
    """Return the other places that have a part in it, with their lines."""
    return [
        (str(place), line)
        for place, line in zip_longest(finding.also_at, finding.also_lines, fillvalue="")
        if str(place)
    ]


def options(roots: Roots) -> dict[str, list[tuple[Remedy, int]]]:
    """Return each cause's ways out, the selected one first, by the cause's id.

    With each stands the number of the cause that has told the same before; 0 where none has.
    """
    told: dict[Remedy, int] = {}
    found: dict[str, list[tuple[Remedy, int]]] = {}
    for number, finding in enumerate(roots, start=1):
        ordered = sorted(finding.remedies, key=lambda remedy: not remedy.recommended)
        found[finding.id] = [(remedy, told.get(remedy, 0)) for remedy in ordered]
        for remedy in ordered:
            told.setdefault(remedy, number)
    return found


def awaited(roots: Roots) -> list[tuple[str, Evidence]]:
    """Return the first figures of each cause that will read otherwise when it is gone."""
    found: dict[tuple[str, str], tuple[str, Evidence]] = {}
    for finding in roots:
        rows = [row for row in finding.evidence if _is_number(row.expected) and _differs(row)]
        for row in rows[:MOST_AWAITED]:
            found.setdefault((finding.code, row.label), (finding.code, row))
    return list(found.values())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _differs(row: Evidence) -> bool:
    return row.value != row.expected


def commands(roots: Roots) -> list[tuple[str, list[str]]]:
    """Return each command that looks for a fault again, with the rules it looks for."""
    found: dict[str, list[str]] = {}
    for finding in roots:
        for command in finding.verify:
            codes = found.setdefault(command, [])
            if finding.code not in codes:
                codes.append(finding.code)
    return list(found.items())


def whole_command(report: Report, roots: Roots) -> str:
    """Return the command line that looks for everything again."""
    verify = roots[0].verify[0] if roots and roots[0].verify else report.command
    return verify.partition(" --select ")[0]


def facts(report: Report) -> list[tuple[str, str]]:
    """Return the run's figures: what was served, differentiated and stepped, at which rates."""
    measured = report.measurements
    account = measured.get("steps")
    if not isinstance(account, dict):
        return []
    found = [
        (
            "batches served, backward passes, optimizer steps",
            f"{account['batches']}, {account['backward_passes']}, {account['steps']}",
        )
    ]
    if account["passes_per_step"]:
        each = " or ".join(map(str, account["passes_per_step"]))
        declared = account["accumulation_declared"]
        found.append(("backward passes a step", f"{each} ({declared} declared)"))
    losses = [loss for loss in measured.get("loss_curve", {}).get("y", []) if loss is not None]
    if losses:
        scaled = " (scaled)" if account.get("is_scaled") else ""
        found.append((f"loss that was differentiated{scaled}, first and last", _course(losses)))
    for optimizer in account["optimizers"]:
        for number, group in enumerate(optimizer["groups"]):
            name = group["name"] or (f"group {number}" if len(optimizer["groups"]) > 1 else "")
            whose = f"{optimizer['name']}, {name}" if name else optimizer["name"]
            norms = [norm for norm in group["gradient_norms"] if norm is not None]
            said = f"learning rate {_course(group['learning_rates'])}"
            said += f", gradient norm {_course(norms)}" if norms else ""
            found.append((whose, said))
    timing = measured.get("timing")
    if isinstance(timing, dict) and timing.get("samples_per_second"):
        found.append(
            (
                f"one {timing['what']} on {timing['batch_size']} samples",
                f"{duration(timing['seconds'])}, {timing['samples_per_second']:,.0f} samples/s",
            )
        )
    skipped = account["skipped"]
    found += [("skipped", f"{row['number']} × {row['what']}") for row in skipped if row["number"]]
    return found


def _course(values: Sequence[float]) -> str:
    return " → ".join(dict.fromkeys((figure(values[0]), figure(values[-1]))))


def hook_table(report: Report, roots: Roots) -> list[list[str]]:
    """Return all hooks with their status, where no finding has such a table already."""
    rows: Any = report.measurements.get("hooks")
    if not rows or any(finding.tables for finding in roots):
        return []
    heading = ["hook", "module", "type seen", "types possible", "status"]
    return [
        heading,
        *(
            [
                row["hook"],
                row["module"],
                ", ".join(row["given"]) or "never called",
                ", ".join(row["possible"]) or "unknown",
                row["status"],
            ]
            for row in rows
        ),
    ]


def reason_of(probe: ProbeRecord) -> str:
    """Return a probe's reason on one line; too few of a table's rows are one reason for all."""
    if TOO_FEW.match(probe.reason):
        return "too few losses, backward passes or steps were observed"
    return " ".join(probe.reason.split())


def remaining(report: Report, roots: Roots) -> list[str]:
    """Say what was not validated: remedies, later batches, and probes that could not judge."""
    lines = []
    if roots:
        lines.append("No remedy was applied: the checklist says whether one helped.")
    served, data = report.measurements.get("steps"), report.target.data
    number = 0 if data.get("only_seen") else data.get("batches")
    if isinstance(served, dict) and served["batches"]:
        of = f" of {count(number, 'batch', 'batches')} an epoch" if number else ""
        lines.append(
            f"{count(served['batches'], 'batch', 'batches')} in "
            f"{count(served['epochs'], 'short epoch')} were served{of}: what comes later in the "
            "data or in the training was not seen."
        )
    if stopped_by(report):
        lines.append(f"Training ended with an exception: {stopped_by(report)}")
    groups: dict[str, list[str]] = {}
    for probe in report.probes:
        if probe.status in ("skipped", "errored"):
            groups.setdefault(reason_of(probe), []).extend(probe.rules)
    for reason, codes in groups.items():
        lines.append(f"Not judged, because {reason}: {', '.join(sorted(codes))}.")
    return lines or ["Nothing: every selected probe was able to judge."]
