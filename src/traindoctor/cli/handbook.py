"""The pages of the manual as text."""

from __future__ import annotations

import inspect
import json
import shutil
import sys

from rich.table import Table
from rich.text import Text

from traindoctor.probing.probe import Probe
from traindoctor.probing.registry import all_probes, all_rules
from traindoctor.probing.rule import Rule
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.page import STYLES, Page
from traindoctor.selection import find_rule

MOST_COLUMNS = 100


def rules_text() -> str:
    """Return the table of all rules."""
    page = _page()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("code", "rule", "severity", "probe"):
        table.add_column(heading, no_wrap=True)
    owners = _owners()
    for rule in all_rules().values():
        style = STYLES[rule.severity.value]
        severity = Text(rule.severity.value, style=style)
        table.add_row(rule.code, rule.name, severity, owners[rule.code].name)
    page.put(table)
    page.put()
    page.put("`traindoctor explain CODE` says what a rule means and what helps.", style="dim")
    return page.text()


def rules_json() -> str:
    """Return all rules as JSON."""
    owners = _owners()
    listed = [
        {
            "code": rule.code,
            "name": rule.name,
            "severity": rule.severity.value,
            "family": rule.family.label,
            "probe": owners[rule.code].name,
            "what": rule.what,
            "why": rule.why,
            "known_limits": rule.known_limits,
            "explains": list(rule.explains),
        }
        for rule in all_rules().values()
    ]
    return json.dumps(listed, indent=2, ensure_ascii=False) + "\n"


def explanation(word: str) -> str:
    """Return a rule's page.

    Raises:
        UsageError: no rule has this code or name.
    """
    rule = find_rule(all_rules(), word)
    probe = _owners()[rule.code]
    page = _page()
    page.put(
        Text.assemble(
            (rule.code, "bold"),
            f" {rule.name}  ",
            (rule.severity.value, STYLES[rule.severity.value]),
            (f"  {rule.family.label}", "dim"),
        )
    )
    for heading, text in (("what", rule.what), ("why", rule.why), ("limits", rule.known_limits)):
        page.put_labelled(heading, text)
    _put_remedies(page, rule)
    if rule.explains:
        page.put_labelled("explains", ", ".join(rule.explains))
    page.put()
    page.put(f"The probe `{probe.name}`", style="bold")
    for paragraph in _paragraphs(probe.doc):
        page.put(paragraph.removeprefix("## "), indent=0 if paragraph.startswith("## ") else 2)
    return page.text()


def _paragraphs(doc: str) -> list[str]:
    """Return a docstring's headings and paragraphs, each on one line; lists keep theirs."""
    paragraphs: list[str] = []
    is_open = False
    for line in inspect.cleandoc(doc).splitlines():
        if line and is_open and not line.startswith(("#", "-", "*", " ", "|")):
            paragraphs[-1] += " " + line
        elif line:
            paragraphs.append(line)
        is_open = bool(line) and not line.startswith("#")
    return paragraphs


def _put_remedies(page: Page, rule: Rule) -> None:
    for remedy in sorted(rule.remedies, key=lambda remedy: not remedy.recommended):
        page.put_labelled("fix" if remedy.recommended else "or", remedy.title)
        for sign, words in (("for", remedy.pros), ("against", remedy.cons)):
            if words:
                page.put_labelled(sign, words, indent=12)
        for sign, code, style in (("-", remedy.before, "red"), ("+", remedy.after, "green")):
            for line in code.splitlines():
                page.put_line(Text(f"{sign} {line}", style=style), indent=12)


def _owners() -> dict[str, Probe]:
    return {rule.code: probe for probe in all_probes() for rule in probe.rules}


def _page() -> Page:
    columns = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
    return Page(Look(width=columns if sys.stdout.isatty() else 80))
