"""Every fault fixture is diagnosed as itself, at its line, and its healthy twin is healthy."""

from __future__ import annotations

import json
import linecache
from pathlib import Path
from typing import Any

import pytest
from tests.watched import watched

import traindoctor
from traindoctor.probing.registry import all_rules
from traindoctor.report.kept import load_report
from traindoctor.target.reference import load

FAULTS = Path(__file__).parent.parent / "fixtures" / "faults"
NAMES = sorted(folder.name for folder in FAULTS.iterdir() if folder.is_dir())


def read(name: str) -> dict[str, Any]:
    """Return what a fixture expects; with `options`, what is told of the run beside its code.

    One with `nproc` is a script, and runs as so many processes.
    """
    expected: dict[str, Any] = json.loads((FAULTS / name / "expected.json").read_text())
    return expected


def examined(name: str, file: str, folder: Path) -> traindoctor.Report:
    expected = read(name)
    if "nproc" in expected:
        script, number = FAULTS / name / file, str(expected["nproc"])
        return load_report(watched(script, folder, "--nproc", number))
    target = load(f"{FAULTS / name / file}:{expected['factory']}", {})
    return traindoctor.check(target, options=expected.get("options"))


EVERY = 30  # a whole check takes seconds: one fixture in so many belongs to the short run


def spread(first: int) -> list[Any]:
    """Return all fixtures; those of the short run count from the first.

    None of several processes is among them: they have short tests of their own.
    """
    single = [name for name in NAMES if "nproc" not in read(name)]
    short = set(single[first::EVERY])
    return [pytest.param(name, marks=[] if name in short else [pytest.mark.slow]) for name in NAMES]


@pytest.mark.parametrize("name", spread(0))
def test_the_sick_program_has_one_root_cause_at_its_line(name: str, tmp_path: Path) -> None:
    expected = read(name)
    report = examined(name, "sick.py", tmp_path)
    loud = [f for f in report.findings if f.severity != "info"]
    roots = [f for f in loud if f.role == "root-cause"]
    assert [f.code for f in roots] == [expected["code"]]
    assert roots[0].severity == expected["severity"]
    assert {f.code for f in loud} - {expected["code"]} <= set(expected["symptoms"])
    if expected["line"]:
        place = roots[0].location
        assert (place.file or "").endswith(f"faults/{name}/sick.py")
        assert expected["line"] in linecache.getline(
            str(FAULTS / name / "sick.py"), place.line or 0
        )


@pytest.mark.parametrize("name", spread(3))
def test_the_healthy_twin_is_healthy(name: str, tmp_path: Path) -> None:
    report = examined(name, "healthy.py", tmp_path)
    assert [(f.code, f.title) for f in report.findings if f.severity != "info"] == []
    assert report.verdict == "healthy"


def test_every_rule_has_its_fixtures_and_every_fixture_its_rule() -> None:
    assert sorted(rule.name for rule in all_rules().values()) == NAMES
    for rule in all_rules().values():
        assert read(rule.name)["code"] == rule.code
