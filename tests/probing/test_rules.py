"""What holds for every rule and probe, ours and anyone's."""

from __future__ import annotations

import ast
import contextlib
import re
import string
import subprocess
import sys
import textwrap

import pytest

from traindoctor.probing import Probe, Rule, Severity
from traindoctor.probing.registry import all_probes, all_rules, broken_providers

PROBES = all_probes()
RULES = list(all_rules().values())
HEADINGS = ("What it measures", "Why it matters", "Known limits", "References")


def test_every_provider_loads() -> None:
    assert broken_providers() == ()
    assert len(RULES) > 0


def test_codes_and_names_are_unique_and_well_formed() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert re.fullmatch(r"TD\d{3}", rule.code)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_probe_is_its_own_manual(probe: Probe) -> None:
    found = re.findall(r"^## (.+)$", probe.doc, re.MULTILINE)
    assert tuple(found) == HEADINGS
    assert probe.rules
    assert probe.experiments(probe.options())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_rule_says_everything_that_a_page_needs(rule: Rule) -> None:
    assert rule.what
    assert rule.why
    assert rule.known_limits
    assert sum(remedy.recommended for remedy in rule.remedies) == 1
    assert rule.title[-1] not in ".!"
    assert list(string.Formatter().parse(rule.title))
    assert isinstance(rule.severity, Severity)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_the_snippets_of_a_remedy_parse(rule: Rule) -> None:
    for remedy in rule.remedies:
        for snippet in (remedy.before, remedy.after):
            assert parses(snippet), snippet


def parses(snippet: str) -> bool:
    """Tell whether lines are Python: as they stand, in a loop, or the head or tail of a block."""
    body = textwrap.indent(snippet, "    ")
    frames = [
        textwrap.dedent(snippet),
        f"while True:\n{body}",
        f"while True:\n    if True:\n        pass\n{snippet}",
        f"while True:\n    try:\n        pass\n{body}",
        f"{snippet}\n    pass",
    ]
    for frame in frames:
        with contextlib.suppress(SyntaxError):
            ast.parse(frame)
            return True
    return False


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_what_a_rule_explains_is_a_code_or_a_family(rule: Rule) -> None:
    for code in rule.explains:
        assert re.fullmatch(r"TD\d{1,3}", code)
        assert not rule.code.startswith(code)


def test_probes_are_imported_without_torch() -> None:
    program = (
        "import sys; from traindoctor.probing.registry import all_probes, all_rules;"
        "[p.experiments(p.options()) for p in all_probes()]; all_rules();"
        "print(sorted({'torch', 'pandas', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
