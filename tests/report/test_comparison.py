from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.report.sample import SWALLOWED, blocked

from traindoctor.probing.finding import Evidence
from traindoctor.report.baseline import only_new
from traindoctor.report.comparison import compare
from traindoctor.report.outcome import exit_code
from traindoctor.report.renderers.comparison_view import render_comparison
from traindoctor.report.renderers.look import Look
from traindoctor.report.renderers.text import verdict_line

OTHER = replace(SWALLOWED, id="F9", code="TD301", fingerprint="another", explains=())


def codes(findings) -> list[str]:
    return [finding.code for finding in findings]


def test_a_report_beside_itself_has_nothing_new_and_nothing_moved():
    made = compare(blocked(), blocked())

    assert (made.new, made.fixed, made.unjudged, made.moved) == ((), (), (), ())
    assert codes(made.still) == ["TD801", "TD103", "TD501"]


def test_what_came_is_new_and_what_went_is_fixed():
    made = compare(blocked(findings=(SWALLOWED,)), blocked(findings=(OTHER,)))

    assert (codes(made.new), codes(made.fixed)) == (["TD301"], ["TD801"])


def test_what_could_not_be_judged_again_is_not_called_fixed():
    silent = tuple(replace(probe, status="skipped") for probe in blocked().probes)

    made = compare(blocked(findings=(SWALLOWED,)), blocked(findings=(), probes=silent))

    assert (codes(made.fixed), codes(made.unjudged)) == ([], ["TD801"])


def test_a_finding_is_the_same_when_its_line_and_values_differ():
    moved = replace(
        SWALLOWED,
        location=replace(SWALLOWED.location, line=77),
        evidence=(Evidence("batches fetched", 32), Evidence("loss", math.nan)),
    )

    made = compare(blocked(findings=(SWALLOWED,)), blocked(findings=(moved,)))

    assert codes(made.still) == ["TD801"]
    assert [(f.name, f.old, f.new) for f in made.moved] == [("TD801 batches fetched", 64, 32)]


@pytest.mark.parametrize(
    ("old", "new", "has_moved"),
    [(1.0, 1.05, False), (1.0, 1.2, True), (1.0, math.nan, True), (0.0, 0.0, False)],
)
def test_figures_move_by_more_than_noise(old, new, has_moved):
    made = compare(
        blocked(measurements={"loss_curve": {"x": [0], "y": [old]}}),
        blocked(measurements={"loss_curve": {"x": [0], "y": [new]}}),
    )

    assert bool(made.moved) == has_moved


def test_a_comparison_is_told_in_groups():
    page = render_comparison(
        compare(blocked(findings=(SWALLOWED,)), blocked(findings=(OTHER,))), Look()
    )

    assert page.index("new\n  ✗ TD301") < page.index("fixed\n  ✗ TD801")
    assert page.endswith("1 new, 1 fixed, 0 still there (0 figures moved): blocked.\n")


def test_a_baseline_leaves_what_is_new():
    report = only_new(blocked(findings=(SWALLOWED, OTHER)), blocked(findings=(SWALLOWED,)))

    assert codes(report.findings) == ["TD301"]
    assert report.summary.root_causes == 1
    assert [(item.code, item.by) for item in report.suppressed[-1:]] == [("TD801", "baseline")]
    assert exit_code(report, "error") == 1


def test_symptoms_of_what_is_known_are_known():
    report = only_new(blocked(), blocked(findings=(SWALLOWED,)))

    assert report.findings == ()
    assert exit_code(report, "error") == 0


def test_what_is_known_is_not_thereby_healthy():
    report = only_new(blocked(), blocked())

    assert report.verdict == "blocked"
    assert verdict_line(report) == "Training is blocked, as the baseline knows; nothing is new."
