"""One report, many formats: each carries the same findings, and its readers can open it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from hypothesis import Phase, given, settings
from junitparser import JUnitXml
from tests.report.sample import SWALLOWED, blocked
from tests.report.strategies import reports

from traindoctor.codec import dumps, loads
from traindoctor.probing.finding import Location
from traindoctor.report.record import Report
from traindoctor.report.renderers import ENDINGS, RENDERERS, render
from traindoctor.report.renderers.look import Look

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "schemas" / "sarif-2.1.0.json").read_text(encoding="utf-8")
)
# A report that fails is not made smaller: that would take minutes.
HOSTILE = settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
VOID = {"meta", "input", "br", "hr", "img"}


class Tags(HTMLParser):
    """Collects what a page is made of, and checks that it is well nested."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.links: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags[tag] += 1
        if "finding" in (named.get("class") or ""):
            self.codes[named["data-code"] or ""] += 1
        self.links += [v or "" for k, v in attrs if k in ("href", "src", "action", "xlink:href")]
        assert not any(name.startswith("on") for name in named)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def made(report: Report, form: str) -> str:
    return render(report, form, Look(width=200, verbosity=1))


def codes_in(report: Report, form: str) -> Counter[str]:
    """Read the codes of the findings out of a format, with that format's own reader."""
    text = made(report, form)
    if form == "json":
        return Counter(finding.code for finding in loads(Report, text).findings)
    if form == "jsonl":
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        return Counter(row["code"] for row in rows if row["type"] == "finding")
    if form == "sarif":
        results = json.loads(text)["runs"][0]["results"]
        return Counter(r["ruleId"] for r in results if "suppressions" not in r)
    if form == "junit":
        cases = [case for suite in JUnitXml.fromstring(text.encode()) for case in suite]
        return Counter(case.name[:5] for case in cases if case.classname == "traindoctor")
    if form == "github":
        return Counter(re.findall(r"^::\w+ .*?,title=(TD\d{3})", text, flags=re.MULTILINE))
    return Tags(text).codes


def consistent(report: Report) -> Report:
    """Let the first finding be a root cause that explains every symptom."""
    first, *rest = report.findings or (SWALLOWED,)
    symptoms = [
        replace(finding, role="symptom", explained_by=first.id)
        if finding.role == "symptom"
        else replace(finding, explained_by=None)
        for finding in rest
    ]
    ids = tuple(finding.id for finding in symptoms if finding.role == "symptom")
    root = replace(first, role="root-cause", explained_by=None, explains=ids)
    return replace(report, findings=(root, *symptoms))


@given(reports.map(consistent))
@HOSTILE
def test_every_format_of_one_report_carries_the_same_findings(report):
    said = Counter(finding.code for finding in report.findings)

    for form in ("json", "jsonl", "sarif", "junit", "github", "html"):
        assert codes_in(report, form) == said, form
    for form in ("text", "markdown"):
        text = made(report, form)
        assert [code for code in said if code not in text] == [], form


@given(reports)
@HOSTILE
def test_sarif_fits_the_official_schema_and_names_places_in_the_repository(report):
    log = json.loads(made(report, "sarif"))

    jsonschema.Draft202012Validator(SCHEMA).validate(log)
    run = log["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert uri
        assert not uri.startswith(("/", "../"))


@given(reports)
@HOSTILE
def test_no_text_of_a_users_becomes_markup_of_the_page(report):
    page = Tags(made(report, "html"))

    assert page.tags["script"] == page.tags["img"] == page.tags["link"] == 0
    assert all(link.startswith("#") for link in page.links)


@given(reports)
@HOSTILE
def test_no_text_of_a_users_issues_a_workflow_command(report):
    lines = made(report, "github").split("\n")[:-1]

    assert len(lines) == len(report.findings)
    assert all(re.match(r"::(error|warning|notice) file=[^,]+,line=\d+,", line) for line in lines)


def test_the_page_needs_nothing_but_itself():
    page = made(blocked(), "html")

    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_a_junit_finding_fails_and_information_passes():
    info = replace(SWALLOWED, severity="info")

    suites = JUnitXml.fromstring(made(blocked(findings=(SWALLOWED,)), "junit").encode())
    calm = JUnitXml.fromstring(made(blocked(findings=(info,)), "junit").encode())

    assert (suites.failures, suites.errors, suites.skipped) == (1, 2, 2)
    assert calm.failures == 0


def test_a_finding_without_a_line_is_placed_at_the_factory():
    target = replace(blocked().target, location=Location(file="../train.py", line=9), folder="src")
    nowhere = replace(SWALLOWED, location=Location(module="head"), also_at=())

    log = json.loads(made(blocked(findings=(nowhere,), target=target), "sarif"))

    place = log["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "train.py"
    assert place["physicalLocation"]["region"]["startLine"] == 9
    assert place["logicalLocations"] == [{"fullyQualifiedName": "head", "kind": "module"}]


def test_places_are_relative_to_the_repository_not_to_the_working_directory():
    target = replace(blocked().target, folder="jobs/speech")

    annotation = made(blocked(findings=(SWALLOWED,), target=target), "github")

    assert annotation.startswith("::error file=jobs/speech/train.py,line=41,endLine=41,title=TD801")


def test_fingerprints_do_not_move_with_the_line():
    moved = replace(SWALLOWED, location=replace(SWALLOWED.location, line=99), snippet=())

    prints = [
        json.loads(made(blocked(findings=(finding,)), "sarif"))["runs"][0]["results"][0]
        for finding in (SWALLOWED, moved)
    ]

    assert prints[0]["partialFingerprints"] == prints[1]["partialFingerprints"]


@pytest.mark.parametrize("form", RENDERERS)
def test_no_format_changes_with_the_round_trip_through_json(form):
    kept = loads(Report, dumps(blocked()))

    assert made(kept, form) == made(blocked(), form)


def test_every_ending_names_a_format_that_there_is():
    assert set(ENDINGS.values()) <= set(RENDERERS)


def test_junit_is_xml_whatever_a_title_holds():
    odd = replace(SWALLOWED, title="a\x00b\ufffe<&>\ud800")

    assert ElementTree.fromstring(made(blocked(findings=(odd,)), "junit")) is not None
