from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from tests.report.sample import blocked
from tests.report.strategies import reports

from traindoctor.codec import encode
from traindoctor.probing.finding import Evidence, Location, Series, Table
from traindoctor.probing.rule import Remedy
from traindoctor.report.record import (
    ExperimentRecord,
    ProbeRecord,
    Report,
    ReportedFinding,
    TargetRecord,
)

SCHEMA = json.loads(files("traindoctor.report").joinpath("schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@given(reports)
def test_every_report_fits_the_schema(report):
    VALIDATOR.validate(encode(report))


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (Report, None),
        (TargetRecord, "target"),
        (ReportedFinding, "finding"),
        (ProbeRecord, "probe"),
        (ExperimentRecord, "experiment"),
        (Location, "location"),
        (Evidence, "evidence"),
        (Series, "series"),
        (Table, "table"),
        (Remedy, "remedy"),
    ],
)
def test_schema_and_record_name_the_same_fields(record, name):
    part = SCHEMA["$defs"][name] if name else SCHEMA

    assert set(part["properties"]) == {item.name for item in fields(record)}
    assert part["required"] == list(part["properties"])


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "fine"},
        {"schema_version": "2.0"},
        {"extra": 1},
        {"findings": [{"id": "F1"}]},
        {"duration_seconds": -1},
    ],
)
def test_what_is_no_report_is_refused(change):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(encode(blocked()) | change)
