"""What became of one report in the next: findings by their fingerprints, figures by their names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from traindoctor.probing.finding import Value
from traindoctor.report.record import Report, ReportedFinding

MOVED = 0.1  # relative; what a machine's speed does by itself is more, see `SPEEDS`
SPEEDS_MOVED = 0.5
SPEEDS = ("seconds per step", "samples per second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value, then and now."""

    name: str
    old: Value
    new: Value
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two reports side by side.

    Attributes:
        new: findings of the new report that the old one has not.
        fixed: findings of the old report whose rule was judged again and found nothing.
        unjudged: findings of the old report whose rule could not judge this time.
        still: findings that both have, as they are now.
        moved: figures that differ by more than noise.
    """

    verdicts: tuple[str, str]
    new: tuple[ReportedFinding, ...]
    fixed: tuple[ReportedFinding, ...]
    unjudged: tuple[ReportedFinding, ...]
    still: tuple[ReportedFinding, ...]
    moved: tuple[Figure, ...]


def compare(old: Report, new: Report) -> Comparison:
    """Return what is new, fixed and still there, and which measurements moved."""
    before = {finding.fingerprint: finding for finding in old.findings}
    now = {finding.fingerprint: finding for finding in new.findings}
    judged = {
        code for probe in new.probes if probe.status in ("passed", "failed") for code in probe.rules
    }
    gone = [finding for key, finding in before.items() if key not in now]
    still = tuple(finding for key, finding in now.items() if key in before)
    figures = [*_headline(old, new), *_evidence(before, still)]
    return Comparison(
        verdicts=(old.verdict, new.verdict),
        new=tuple(finding for key, finding in now.items() if key not in before),
        fixed=tuple(finding for finding in gone if finding.code in judged),
        unjudged=tuple(finding for finding in gone if finding.code not in judged),
        still=still,
        moved=tuple(figure for figure in figures if _has_moved(figure)),
    )


def _headline(old: Report, new: Report) -> Iterator[Figure]:
    """Yield the figures that reports of any setup have."""
    then, now = _figures(old.measurements), _figures(new.measurements)
    for name, (value, unit) in now.items():
        if name in then:
            yield Figure(name=name, old=then[name][0], new=value, unit=unit)


def _figures(measured: dict[str, Any]) -> dict[str, tuple[Value, str]]:
    overfit, steps = measured.get("overfit") or {}, measured.get("steps") or {}
    losses = (measured.get("loss_curve") or {}).get("y") or []
    norms = [norm for norm in measured.get("gradient_norms") or [] if norm is not None]
    flow = measured.get("gradient_flow") or []
    found: dict[str, tuple[Value, str]] = {
        "first loss": (losses[0] if losses else None, ""),
        "last loss": (losses[-1] if losses else None, ""),
        "last gradient norm": (norms[-1] if norms else None, ""),
        "parameters without gradient": (sum(row["none"] for row in flow) if flow else None, ""),
        "optimizer steps": (steps.get("steps"), ""),
        "end of one batch's loss": (overfit.get("end"), ""),
        "one batch learned": (overfit.get("learned"), ""),
        "seconds per step": (measured.get("seconds_per_step"), "s"),
        "samples per second": (measured.get("samples_per_second"), ""),
    }
    return {name: pair for name, pair in found.items() if pair[0] is not None}


def _evidence(
    before: dict[str, ReportedFinding], still: tuple[ReportedFinding, ...]
) -> Iterator[Figure]:
    """Yield what the findings that are still there measured, then and now."""
    for finding in still:
        then = {row.label: row.value for row in before[finding.fingerprint].evidence}
        for row in finding.evidence:
            if row.label in then:
                name = f"{finding.code} {row.label}"
                yield Figure(name=name, old=then[row.label], new=row.value, unit=row.unit or "")


def _has_moved(figure: Figure) -> bool:
    old: Any = figure.old
    new: Any = figure.new
    if _is_number(old) and _is_number(new):
        if not (math.isfinite(old) and math.isfinite(new)):
            return bool(str(old) != str(new))
        noise = SPEEDS_MOVED if figure.name in SPEEDS else MOVED
        return bool(abs(new - old) > noise * max(abs(old), abs(new)))
    return bool(old != new)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
