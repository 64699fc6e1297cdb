"""The full document: problem, root cause, remedies, expected result, verification, what is open."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from traindoctor.codec import map_strings
from traindoctor.probing.finding import Value
from traindoctor.probing.rule import Remedy
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
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.page import figure, harmless

if TYPE_CHECKING:
    from jinja2 import Template

# An underscore inside a word means nothing to Markdown.
_SPECIAL = re.compile(r"([\\`*\[\]<>#|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def render(report: Report, look: Look) -> str:  # noqa: ARG001  a document has one look
    """Return the report as a Markdown document."""
    report = map_strings(report, harmless)
    loud = [finding for finding in report.findings if finding.severity != "info"]
    roots = [finding for finding in loud if finding.role == "root-cause"]
    told = {finding.id for finding in roots}  # and with each its symptoms
    noted = [f for f in report.findings if f.id not in told and not _is_nested(f, told)]
    page = _template().render(
        report=report,
        headline=text(headline(report, roots)),
        date=when(report.created),
        status=status(report),
        examined=examined(report),
        machine=machine(report),
        roots=roots,
        symptoms={f.id: [s for s in loud if s.explained_by == f.id] for f in roots},
        options=options(roots),
        awaited=awaited(roots),
        commands=commands(roots),
        whole=whole_command(report, roots),
        facts=facts(report),
        hooks=hook_table(report, roots),
        notes=noted,
        remaining=remaining(report, roots),
    )
    return re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n"


def _is_nested(finding: ReportedFinding, told: set[str]) -> bool:
    return finding.severity != "info" and finding.explained_by in told


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    # Autoescape is HTML's; what user code said passes a filter wherever it stands.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {
        "text": text,
        "cell": cell,
        "code": code,
        "fenced": fenced,
        "figure": _figure,
        "quoted": quoted,
        "others": others,
        "change": change,
    }
    source = files("traindoctor.report.renderers").joinpath("markdown.md.j2").read_text("utf-8")
    return environment.from_string(source)


def text(value: str) -> str:
    """Return running text in which nothing means anything to Markdown but `code` in backticks."""
    parts = re.split(r"`([^`]+)`", harmless(value).replace("\n", " "))
    plain = [_SPECIAL.sub(r"\\\1", part) for part in parts[::2]]
    marked = [code(part) for part in parts[1::2]]
    return "".join(chain.from_iterable(zip_longest(plain, marked, fillvalue="")))


def cell(value: object) -> str:
    """Return text for a table's cell: one line."""
    return text(str(value))


def code(value: str) -> str:
    """Return inline code, whatever backticks are in it."""
    line = harmless(value).replace("\n", " ").replace("|", "\\|")
    ticks = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fenced(value: str, language: str) -> str:
    """Return a code block, whatever fences are in it."""
    block = harmless(value).rstrip("\n")
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", block)), default=0) + 1)
    return f"{fence}{language}\n{block}\n{fence}"


def quoted(finding: ReportedFinding) -> str:
    """Return the user's lines with their numbers, the sick ones marked."""
    first = finding.location.line or 0
    sick = range(first, (finding.location.end_line or first) + 1)
    width = len(str(finding.snippet[-1][0]))
    return "\n".join(
        f"{'>' if number in sick else ' '} {number:>{width}} | {line}".rstrip()
        for number, line in finding.snippet
    )


def change(remedy: Remedy) -> str:
    """Return the lines before and after as a diff."""
    before = [f"- {line}" for line in remedy.before.splitlines()]
    return "\n".join([*before, *(f"+ {line}" for line in remedy.after.splitlines())])


def _figure(value: Value) -> str:
    return figure(value)
