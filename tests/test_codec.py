from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from tests.report.sample import blocked
from tests.report.strategies import reports

from traindoctor.codec import decode, dumps, encode, loads, map_strings
from traindoctor.probing.events import FindingMade
from traindoctor.probing.finding import Confidence, Evidence
from traindoctor.probing.rule import Rule, Severity
from traindoctor.report.record import ModelRecord, Report


@given(reports)
def test_a_report_comes_back_from_its_json(report):
    again = loads(Report, dumps(report).encode("utf-8"))

    assert encode(again) == encode(report)


def test_the_sample_comes_back_equal_but_for_nan():
    assert repr(loads(Report, dumps(blocked()))) == repr(blocked())


@pytest.mark.parametrize(
    ("value", "written"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (1.5, 1.5), (True, True)],
)
def test_numbers_that_json_lacks_are_written_by_name_and_read_as_numbers(value, written):
    evidence = Evidence("x", value)

    assert encode(evidence)["value"] == written
    assert repr(decode(Evidence, encode(evidence)).value) == repr(value)


def test_a_text_field_that_says_nan_stays_text():
    assert decode(Evidence, encode(Evidence("NaN", None, unit="NaN"))) == Evidence(
        "NaN", None, unit="NaN"
    )


def test_fields_are_renamed_in_json_alone():
    record = ModelRecord(class_name="M", parameters=2, trainable=1)

    assert encode(record) == {"class": "M", "parameters": 2, "trainable": 1}
    assert decode(ModelRecord, encode(record)) == record


def test_a_finding_keeps_its_enumerations():
    rule = Rule(
        code="TD001",
        name="n",
        severity=Severity.ERROR,
        title="t",
        what="",
        why="",
        known_limits="",
    )
    event = FindingMade(probe="p", finding=rule.finding("m", confidence=Confidence.LIKELY))

    assert loads(FindingMade, dumps(event)) == event


@dataclass
class Holder:
    number: int
    pair: tuple[int, str] = (1, "a")
    other: dict[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    "data",
    [
        {"number": "1"},
        {"number": True},
        {"number": 1, "pair": [1]},
        {"number": 1, "other": {"a": "b"}},
        {"number": 1, "unknown": 2},
        {},
        [],
    ],
)
def test_data_of_another_shape_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        decode(Holder, data)


def test_what_is_not_plain_data_is_refused():
    with pytest.raises(TypeError, match="object"):
        encode({"a": object()})


def test_a_lone_surrogate_survives_as_json():
    assert json.loads(dumps({"a": "\ud800"})) == {"a": "\ud800"}
    dumps({"a": "\ud800"}).encode("utf-8")


def test_every_text_of_a_record_is_reached_and_nothing_else():
    shouted = map_strings(blocked(), str.upper)

    assert shouted.findings[0].evidence[0].label == "BATCHES FETCHED"
    assert shouted.findings[0].snippet[0] == (39, "        TRY:")
    assert shouted.findings[0].evidence[0].value == 64
