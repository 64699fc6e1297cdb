"""One page that needs nothing else: no network, no script; light, dark and on paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from traindoctor.codec import map_strings
from traindoctor.report.record import Report, ReportedFinding
from traindoctor.report.renderers.document import (
    awaited,
    commands,
    examined,
    facts,
    headline,
    hook_table,
    machine,
    options,
    others,
    remaining,
    status,
    when,
    whole_command,
)
from traindoctor.report.renderers.flow_rows import Line, folded
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.page import figure, harmless
from traindoctor.report.renderers.plots import Axis, Curve, plot, y_axis

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

PHASES = ("fetch", "forward", "backward", "step", "rest")


def render(report: Report, look: Look) -> str:  # noqa: ARG001  the reader's browser has the look
    """Return the report as a self-contained HTML page."""
    report = map_strings(report, harmless)
    roots = [finding for finding in report.findings if finding.role == "root-cause"]
    ids = {finding.id for finding in roots}
    page = _template().render(
        report=report,
        headline=headline(report, roots),
        when=when(report.created),
        status=status(report),
        examined=examined(report),
        machine=machine(report),
        roots=roots,
        symptoms={f.id: [s for s in report.findings if s.explained_by == f.id] for f in roots},
        loose=[s for s in report.findings if s not in roots and s.explained_by not in ids],
        options=options(roots),
        awaited=awaited(roots),
        commands=commands(roots),
        whole=whole_command(report, roots),
        facts=facts(report),
        hooks=hook_table(report, roots),
        curves=curves(report.measurements),
        flow=flow(report.measurements.get("gradient_flow")),
        phases=phases(report.measurements.get("phase_seconds")),
        remaining=remaining(report, roots),
    )
    return page.rstrip() + "\n"


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "code": code,
        "figure": figure,
        "lines": lines,
        "multiples": multiples,
        "others": others,
        "plot": plot,
        "split": str.splitlines,
    }
    home = files("traindoctor.report.renderers")
    environment.globals["style"] = home.joinpath("html.css").read_text("utf-8")
    return environment.from_string(home.joinpath("html.html.j2").read_text("utf-8"))


def code(text: str) -> Markup:
    """Return running text, what stands in backticks as code."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is a backtick
        parts[-2:] = ["`".join(parts[-2:])]
    marked = [
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    ]
    return Markup("").join(marked)


def lines(finding: ReportedFinding) -> list[tuple[int, str, bool]]:
    """Return the user's lines with their numbers, and whether they are the sick ones."""
    first = finding.location.line or 0
    sick = range(first, (finding.location.end_line or first) + 1)
    margin = min((len(t) - len(t.lstrip()) for _, t in finding.snippet if t.strip()), default=0)
    return [(number, text[margin:], number in sick) for number, text in finding.snippet]


def multiples(finding: ReportedFinding) -> list[tuple[str, Markup]]:
    """Return a finding's curves, side by side on one axis where they measure one thing."""
    found = [Curve(s.name, s.x, s.y) for s in finding.series if s.x and s.y]
    finite = [values for curve in found if (values := _finite(curve))]
    bounds = y_axis([y for values in finite for y in values]) if finite else None
    if bounds and any(_is_hidden(values, bounds) for values in finite):
        bounds = None
    return [(curve.name, plot(curve, bounds)) for curve in found]


def _finite(curve: Curve) -> list[float]:
    return [y for y in curve.y if y is not None and math.isfinite(y)]


def _is_hidden(values: Sequence[float], bounds: Axis) -> bool:
    """Tell whether values that move look flat on an axis. What does not move is rightly flat."""
    low, high = min(values), max(values)
    moves = high / 2 - low / 2 > 0.025 * max(abs(low), abs(high))  # halves do not overflow
    return moves and bounds.share(high) - bounds.share(low) < 0.02


def curves(measured: dict[str, Any]) -> list[Curve]:
    """Return what was measured over steps: the loss, one batch learned, gradient norms."""
    run = measured.get("run_curve") or {}
    if any(loss is not None for loss in run.get("loss", [])):
        norms = run["gradient_norm"]
        found = [Curve("loss by step", run["x"], run["loss"])]
        known = any(norm is not None for norm in norms)
        return [*found, Curve("gradient norm by step", run["x"], norms)] if known else found
    found = []
    loss = measured.get("loss_curve") or {}
    if loss.get("y"):
        found.append(Curve("loss by batch", loss["x"], loss["y"]))
    norms = measured.get("gradient_norms") or []
    if any(norm is not None for norm in norms):
        found.append(Curve("gradient norm by step", range(len(norms)), norms))
    overfit = measured.get("overfit") or {}
    curve = overfit.get("curve") or {}
    if curve.get("y"):
        note = str(overfit.get("reason") or "")
        name = "loss on one batch"
        found.append(Curve(name, curve["x"], curve["y"], overfit.get("floor"), note))
    return found


def flow(rows: Any) -> list[dict[str, Any]]:
    """Return the modules in forward order, with the spans of their bars in percent.

    None where no gradient was looked at, as before the first backward pass.
    """
    shown = folded(rows) if rows else []
    if not any(line.gradients or line.none or line.not_finite or line.zero for line in shown):
        return []
    gradient = _scale([value for line in shown for value in line.gradients])
    update = _scale([value for line in shown for value in line.updates])
    return [
        {
            "line": line,
            "gradients": _span(line.gradients, gradient),
            "updates": _span(line.updates, update),
            "marks": _marks(line),
        }
        for line in shown
    ]


def _scale(values: Sequence[float]) -> Axis | None:
    known = [value for value in values if value > 0 and math.isfinite(value)]
    if not known:
        return None
    low, high = (
        round_(math.log10(v)) for round_, v in ((math.floor, min(known)), (math.ceil, max(known)))
    )
    return Axis(float(low), float(max(high, low + 1)))


def _span(values: Sequence[float], axis: Axis | None) -> dict[str, Any] | None:
    """Return where the bar of some values begins and ends, and the values as text."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    if not known or axis is None:
        return None
    low, high = (100 * axis.share(math.log10(value)) for value in (min(known), max(known)))
    text = f"{min(known):.1e}" if len(known) == 1 else f"{min(known):.0e} – {max(known):.0e}"
    start = 0.0 if len(values) == 1 else min(low, 98.5)
    return {"from": round(start, 1), "size": round(max(high - start, 1.5), 1), "text": text}


def _marks(line: Line) -> list[tuple[str, str]]:
    """Name what of a module's tensors got no usable gradient."""
    shares = (
        ("bad", "not finite", line.not_finite),
        ("bad", "None", line.none),
        ("warn", "zero", line.zero),
        ("calm", "frozen", line.frozen),
    )
    return [
        (kind, name if share == 1 else f"{name} {share:.0%}")
        for kind, name, share in shares
        if share
    ]


def phases(seconds: Any) -> list[tuple[str, str, float, str]]:
    """Return the phases of a step as key and name, with share in percent and time."""
    if not isinstance(seconds, dict):
        return []
    known = {name: seconds[name] for name in PHASES if seconds.get(name)}
    total = sum(known.values())
    names = {} if "forward" in known else {"rest": "forward, loss and instruments"}
    return [
        (key, names.get(key, key), round(100 * part / total, 1), f"{1e3 * part:.3g} ms")
        for key, part in known.items()
    ]
