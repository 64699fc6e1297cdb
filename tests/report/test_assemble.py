from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from traindoctor.probing.events import (
    ExperimentEnded,
    FindingMade,
    ProbeEnded,
    RunEnded,
    Suppressed,
    TargetLoaded,
)
from traindoctor.probing.finding import Location
from traindoctor.probing.rule import Rule, Severity
from traindoctor.report.assemble import Occasion, assemble
from traindoctor.report.outcome import exit_code


def rule(code: str, severity: Severity = Severity.ERROR, explains: tuple[str, ...] = ()) -> Rule:
    return Rule(
        code=code,
        name=f"rule-{code[2:]}",
        severity=severity,
        title="it is so",
        what="",
        why="",
        known_limits="",
        explains=explains,
    )


def occasion(folder: Path, **more) -> Occasion:
    fields = {
        "reference": "train.py:setup",
        "command": "traindoctor check train.py:setup",
        "verify": "traindoctor check train.py:setup --select CODE",
        "duration_seconds": 1.0,
        "required": frozenset({"core"}),
        "folder": folder,
        "created": datetime(2026, 1, 1, tzinfo=timezone.utc),
    }
    return Occasion(**(fields | more))


def ended(name: str, status: str = "passed", reason: str = "") -> ProbeEnded:
    return ProbeEnded(name=name, status=status, seconds=0.1, rules=("TD201",), reason=reason)


def left_open(name: str) -> ProbeEnded:
    return replace(ended(name, "skipped", "it does not learn"), leaves_open=True)


def experiment(steps: int = 6, key: str = "run()", status: str = "done", **more) -> ExperimentEnded:
    return ExperimentEnded(
        key=key, name="run", settings={}, status=status, seconds=1, steps=steps, **more
    )


LOADED = TargetLoaded(
    reference="train.py:setup", model_class="Net", num_parameters=3, num_trainable=2
)


def found(severity: Severity, code: str = "TD201", **more) -> FindingMade:
    return FindingMade(probe="core", finding=rule(code, severity).finding("m", **more))


@pytest.mark.parametrize(
    ("events", "verdict", "code"),
    [
        ([experiment(), ended("core")], "healthy", 0),
        ([experiment(), ended("core"), ended("side", "skipped", "r")], "healthy", 0),
        ([experiment(), ended("core"), left_open("side")], "inconclusive", 0),
        ([experiment(), ended("core", "skipped")], "inconclusive", 0),
        ([experiment(0), ended("core", "skipped")], "inconclusive", 5),
        ([experiment(), ended("core", "errored")], "inconclusive", 5),
        ([experiment(), ended("side")], "inconclusive", 0),
        ([found(Severity.INFO), experiment(), ended("core")], "healthy", 0),
        ([found(Severity.WARNING), experiment(), ended("core", "failed")], "unwell", 0),
        ([found(Severity.ERROR), experiment(), ended("core", "failed")], "unwell", 1),
        ([found(Severity.CRITICAL), experiment(0), ended("core", "failed")], "blocked", 1),
    ],
)
def test_verdict_and_exit_code_follow_from_what_happened(tmp_path, events, verdict, code):
    report = assemble([LOADED, *events, RunEnded()], occasion(tmp_path))

    assert report.verdict == verdict
    assert exit_code(report, "error") == code


@pytest.mark.parametrize(
    ("fail_on", "code"), [("critical", 0), ("error", 0), ("warning", 1), ("info", 1), ("never", 0)]
)
def test_fail_on_is_a_threshold(tmp_path, fail_on, code):
    report = assemble([LOADED, found(Severity.WARNING)], occasion(tmp_path))

    assert exit_code(report, fail_on) == code


def test_places_and_texts_are_relative_to_the_working_directory(tmp_path):
    file = str(tmp_path / "train.py")
    event = FindingMade(
        probe="core",
        finding=rule("TD201").finding(
            f"raised at {file}:2", location=Location(file, 2), also_at=[Location(file, 9)]
        ),
    )

    finding = assemble([event, ended("core", "failed")], occasion(tmp_path)).findings[0]

    assert str(finding.location) == "train.py:2"
    assert str(finding.also_at[0]) == "train.py:9"
    assert finding.message == "raised at train.py:2"


def test_a_fingerprint_does_not_depend_on_where_the_project_lies(tmp_path):
    def fingerprint(folder: Path) -> str:
        folder.mkdir()
        place = Location(str(folder / "train.py"), 2)
        event = FindingMade(probe="p", finding=rule("TD201").finding("m", location=place))
        return assemble([event], occasion(folder)).findings[0].fingerprint

    assert fingerprint(tmp_path / "here") == fingerprint(tmp_path / "there")


def test_the_users_lines_stand_around_the_place(tmp_path):
    file = tmp_path / "train.py"
    file.write_text("".join(f"line {number}\n" for number in range(1, 10)))
    place = Location(str(file), 4, 5)
    event = FindingMade(probe="p", finding=rule("TD201").finding("m", location=place))

    snippet = assemble([event], occasion(tmp_path)).findings[0].snippet

    assert snippet == tuple((number, f"line {number}") for number in range(2, 7))


def test_causes_lead_and_name_their_symptoms(tmp_path):
    cause = rule("TD402", Severity.ERROR, explains=("TD103",))
    symptom = rule("TD103", Severity.CRITICAL)
    events = [
        FindingMade(probe="b", finding=symptom.finding("m")),
        FindingMade(probe="a", finding=cause.finding("m")),
        ended("a", "failed"),
        ended("b", "failed"),
    ]

    report = assemble(events, occasion(tmp_path))

    first, second = report.findings
    assert (first.code, first.role, first.explains) == ("TD402", "root-cause", (second.id,))
    assert (second.role, second.explained_by) == ("symptom", first.id)
    assert first.verify == ("traindoctor check train.py:setup --select TD402",)
    assert (report.summary.root_causes, report.summary.symptoms) == (1, 1)
    assert {probe.name: probe.findings for probe in report.probes} == {
        "a": (first.id,),
        "b": (second.id,),
    }


def test_one_fault_that_two_probes_report_is_one_finding_of_both(tmp_path):
    finding = rule("TD201").finding("m")
    events = [
        FindingMade(probe="a", finding=finding),
        FindingMade(probe="b", finding=replace(finding, message="n")),
        ended("a", "failed"),
        ended("b", "failed"),
    ]

    report = assemble(events, occasion(tmp_path))

    assert len(report.findings) == 1
    assert [probe.findings for probe in report.probes] == [("F1",), ("F1",)]


def test_the_first_experiment_to_measure_a_figure_gives_it(tmp_path):
    events = [
        experiment(key="a", measurements={"overfit": 1}),
        experiment(key="b", measurements={"overfit": 2, "speed": 3}),
    ]

    assert assemble(events, occasion(tmp_path)).measurements == {"overfit": 1, "speed": 3}


def test_an_experiment_done_again_by_a_second_worker_is_listed_once(tmp_path):
    events = [experiment(status="failed", steps=0), experiment(steps=4)]

    assert [e.steps for e in assemble(events, occasion(tmp_path)).experiments] == [4]


def test_what_the_user_silenced_is_kept(tmp_path):
    event = Suppressed(code="TD402", reason="on purpose", where=f"{tmp_path}/a.py:1")

    assert assemble([event], occasion(tmp_path)).suppressed[0].where == "a.py:1"
