"""A new probe is one that runs, with programs that load and a test that passes."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from traindoctor.cli.main import main
from traindoctor.errors import UsageError
from traindoctor.probing import Probe
from traindoctor.probing.registry import all_rules
from traindoctor.scaffolding.probe import begin_probe, next_code

ROOT = Path(__file__).parents[2]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    for path, text in begin_probe("odd-steps", "learning", all_rules(), tmp_path).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_file_holds_a_probe_with_every_heading(begun):
    spec = importlib.util.spec_from_file_location("odd_steps", begun / "odd_steps.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert isinstance(module.probe, Probe)
    assert module.probe.rules[0].code == next_code("learning", all_rules())
    for heading in ("What it measures", "Why it matters", "Known limits", "References"):
        assert f"\n## {heading}\n" in module.probe.doc


def test_the_fixtures_are_those_that_the_project_asks_for(begun):
    folder = begun / "fixtures" / "faults" / "odd-steps"
    expected = json.loads((folder / "expected.json").read_text())

    assert set(expected) == {"code", "severity", "factory", "line", "symptoms"}
    for name in ("sick.py", "healthy.py"):
        functions = [n for n in ast.parse((folder / name).read_text()).body if hasattr(n, "name")]
        assert expected["factory"] in [node.name for node in functions]


def test_the_test_passes_as_it_stands(begun):
    path = os.pathsep.join([str(begun), *sys.path, str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/probes"],
        cwd=begun,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_in_a_checkout_it_goes_to_the_built_in_probes(tmp_path):
    (tmp_path / "probes" / "traindoctor_probes").mkdir(parents=True)

    texts = begin_probe("odd-steps", "learning", all_rules(), tmp_path)

    assert tmp_path / "probes" / "traindoctor_probes" / "odd_steps.py" in texts
    test = texts[tmp_path / "tests" / "probes" / "test_odd_steps.py"]
    assert "from traindoctor_probes.odd_steps import examine" in test


@pytest.mark.parametrize(
    ("name", "family", "says"),
    [
        ("OddSteps", "learning", "is no name of a rule"),
        ("no-gradient", "gradients", "there is a rule 'no-gradient' already"),
        ("odd-steps", "gradient", "did you mean 'gradients'"),
    ],
)
def test_a_name_or_family_that_cannot_be_is_told(tmp_path, name, family, says):
    with pytest.raises(UsageError, match=says):
        begin_probe(name, family, all_rules(), tmp_path)


@pytest.mark.parametrize(
    ("is_checkout", "says"), [(True, "probes/README.md says"), (False, 'yours = "your_package"')]
)
def test_what_comes_next_is_said(tmp_path, monkeypatch, capsys, is_checkout, says):
    if is_checkout:
        (tmp_path / "probes" / "traindoctor_probes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["traindoctor", "new-probe", "odd-steps", "--family", "data"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert not ended.value.code
    assert says in capsys.readouterr().out.splitlines()[-1]
