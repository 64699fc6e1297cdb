"""Makes pages of the site from what says it already: rules, probes, cases, the changelog.

mkdocs calls what begins with `on_`; nothing is written to the folder `docs`.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from traindoctor.probing.registry import all_probes

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

    from traindoctor.probing import Probe, Remedy, Rule

ROOT = Path(__file__).parents[1]
SECTION = re.compile(r"^<!-- README: (.+) -->$", re.MULTILINE)
FAULTS, CASES = ROOT / "fixtures" / "faults", ROOT / "fixtures" / "documents"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages to those of the folder."""
    from mkdocs.structure.files import File

    for name, text in pages():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put sections of the README where a page asks for them."""
    return SECTION.sub(lambda asked: readme_section(asked[1]), markdown)


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name of each made page with its text."""
    owned = sorted(
        ((rule, probe) for probe in all_probes() for rule in probe.rules),
        key=lambda pair: pair[0].code,
    )
    yield "rules/index.md", rule_table(owned)
    for rule, probe in owned:
        yield f"rules/{rule.code}.md", rule_page(rule, probe)
    for case in sorted(CASES.glob("*/README.md")):
        yield f"cases/{case.parent.name}.md", case.read_text(encoding="utf-8")
    yield "writing-a-probe.md", (ROOT / "probes" / "README.md").read_text(encoding="utf-8")
    yield "changes.md", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def readme_section(heading: str) -> str:
    """Return what stands under a heading of the README, with its links as they are in the docs."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].strip()
    return section.replace("](docs/", "](")


def rule_table(owned: list[tuple[Rule, Probe]]) -> str:
    """Return the page of all rules, by family."""
    lines = [
        "# Rules",
        "",
        f"{len(owned)} faults that traindoctor names. A code never changes its meaning. Those "
        "marked *lint* are told from the source as well, by `traindoctor lint`.",
    ]
    family = None
    for rule, probe in owned:
        if rule.family is not family:
            family = rule.family
            lines += ["", f"## {family.label.capitalize()}", ""]
            lines += ["| code | name | severity | what it is |", "| --- | --- | --- | --- |"]
        mark = " *lint*" if lints(rule, probe) else ""
        what = rule.what.replace("|", "\\|").replace("<", "&lt;")
        link = f"[{rule.code}]({rule.code}.md)"
        lines.append(f"| {link} | {rule.name}{mark} | {rule.severity.value} | {what} |")
    return "\n".join(lines) + "\n"


def rule_page(rule: Rule, probe: Probe) -> str:
    """Return a rule's page: what, why, limits, ways out, an example, and its probe's manual."""
    facts = f"**{rule.severity.value}** · {rule.family.label} · probe `{probe.name}`"
    lines = [f"# {rule.code} {rule.name}", "", facts, "", rule.what, ""]
    lines += ["## Why it matters", "", rule.why, ""]
    lines += ["## When it may be wrong", "", rule.known_limits, "", "## Ways out", ""]
    for remedy in sorted(rule.remedies, key=lambda remedy: not remedy.recommended):
        lines += remedy_lines(remedy)
    if rule.explains:
        lines += ["## What it explains", "", "Where this is the cause, no separate causes are: "]
        lines[-1] += ", ".join(f"`{code}`" for code in rule.explains) + ".\n"
    lines += example(rule)
    lines += [f"## The probe `{probe.name}`", ""]
    lines += [inspect.cleandoc(probe.doc).replace("\n## ", "\n### "), ""]
    lines += [f"On the command line: `traindoctor explain {rule.code}`."]
    return "\n".join(lines) + "\n"


def remedy_lines(remedy: Remedy) -> list[str]:
    """Return a way out with what speaks for and against it, and its lines as a diff."""
    lines = [f"**{remedy.title}**" + (" (recommended)" if remedy.recommended else ""), ""]
    lines += [f"- for: {remedy.pros}"] if remedy.pros else []
    lines += [f"- against: {remedy.cons}"] if remedy.cons else []
    changed = [f"- {line}" for line in remedy.before.splitlines()]
    changed += [f"+ {line}" for line in remedy.after.splitlines()]
    return [*lines, "", *fenced("diff", changed)] if changed else [*lines, ""]


def example(rule: Rule) -> list[str]:
    """Return what a healthy program and the sick one of the tests differ in."""
    folder = FAULTS / rule.name
    if not (folder / "sick.py").exists():
        return []
    healthy, sick = (
        (folder / name).read_text(encoding="utf-8").splitlines()
        for name in ("healthy.py", "sick.py")
    )
    found = list(difflib.unified_diff(healthy, sick, "healthy.py", "sick.py", lineterm="", n=2))
    where = f"A program of the tests that has it, in `fixtures/faults/{rule.name}`:"
    return ["## Example", "", where, "", *fenced("diff", found)]


def fenced(language: str, lines: list[str]) -> list[str]:
    """Return lines as a code block."""
    return [f"````{language}", *lines, "````", ""]


def lints(rule: Rule, probe: Probe) -> bool:
    """Tell whether a rule is told from source: whether its probe's `lint` names it."""
    if probe.lint is None:
        return False
    module = inspect.getmodule(probe.lint)
    return any(getattr(module, name, None) is rule for name in probe.lint.__code__.co_names)
