"""Writes the beginning of a probe: its file, its two programs, and its test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from traindoctor.errors import UsageError, nearest
from traindoctor.probing.rule import Family, Rule

PACKAGE = Path("probes", "traindoctor_probes")  # in a checkout of traindoctor
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")


def begin_probe(name: str, family: str, rules: Mapping[str, Rule], folder: Path) -> dict[Path, str]:
    """Return the text of each file to write.

    Args:
        name: of the rule, kebab-case: the illness, not the cure.
        family: the label of the family that its code is to belong to.
        rules: those there are.
        folder: a checkout of traindoctor, or the package of a provider of one's own.

    Raises:
        UsageError: the name is none, or is taken; there is no such family.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a rule; write it like `dead-units`")
    if any(rule.name == name for rule in rules.values()):
        raise UsageError(f"there is a rule {name!r} already")
    code = next_code(family, rules)
    stem = name.replace("-", "_")
    home = folder / PACKAGE if (folder / PACKAGE).is_dir() else folder
    module = f"{PACKAGE.name}.{stem}" if home != folder else stem
    facts = {"name": name, "code": code, "constant": stem.upper(), "module": module}
    fault = folder / "fixtures" / "faults" / name
    tests = folder / "tests" / "probes"
    return {
        home / f"{stem}.py": _filled("probe.py", facts),
        fault / "sick.py": _filled("program.py", facts | {"what": "What is done, and its fault."}),
        fault / "healthy.py": _filled("program.py", facts | {"what": "The same without it."}),
        fault / "expected.json": _filled("expected.json", facts),
        tests / f"test_{stem}.py": _filled("test.py", facts),
    }


def next_code(family: str, rules: Mapping[str, Rule]) -> str:
    """Return the first code after those that a family has.

    Raises:
        UsageError: there is no such family.
    """
    labels = {member.label: member for member in Family}
    if family not in labels:
        raise UsageError(f"there is no family {family!r}{nearest(family, list(labels))}")
    taken = [int(code[2:]) for code, rule in rules.items() if rule.family is labels[family]]
    return f"TD{max(taken, default=100 * labels[family].value) + 1:03}"


def _filled(template: str, facts: Mapping[str, str]) -> str:
    home = files("traindoctor.scaffolding").joinpath("templates", f"{template}.tmpl")
    return Template(home.read_text(encoding="utf-8")).substitute(facts)
