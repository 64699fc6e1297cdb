"""A batch that cannot do what it is asked is told from one whose contents are wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.probes.asking import asks, batch, leaf, raised, stopped

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import BatchRow, Place
from traindoctor_probes.batch_protocol import examine

OWN = BatchRow(index=0, kind="other", class_name="Points", protocols=("iteration",))
FIELDS = batch(leaf("x", 4, 3), kind="dataclass", class_name="Points")


def found(message: str, row: BatchRow, type_name: str = "TypeError") -> list[Finding]:
    return list(examine(asks(stopped(raised(type_name, message), row)), NoOptions()))


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ("object of type 'Points' has no len()", "length"),
        ("Net() argument after ** must be a mapping, not Points", "mapping protocol"),
        ("'Points' object is not subscriptable", "indexing"),
        ("'package.Points' object is not subscriptable", "indexing"),
        ("cannot unpack non-iterable Points object", "iteration"),
        ("'Points' object has no attribute 'to'", "attribute to"),
        ("linear(): argument 'input' (position 1) must be Tensor, not Points", "passed on alone"),
    ],
)
def test_what_was_asked_for_in_vain_is_named(message: str, missing: str) -> None:
    (finding,) = found(message, OWN)
    assert finding.code == "TD004"
    assert missing in finding.title


def test_a_dataclass_without_length_stops_a_trainer() -> None:
    assert [f.code for f in found("object of type 'Points' has no len()", FIELDS)] == ["TD004"]


def test_a_forward_that_got_the_whole_object_misses_the_rest() -> None:
    message = "Net.forward() missing 1 required positional argument: 'y'"
    assert [f.code for f in found(message, OWN)] == ["TD004"]
    assert found(message, FIELDS) == []


@pytest.mark.parametrize(
    "message",
    [
        "object of type 'Other' has no len()",
        "'PointsMore' object is not subscriptable",
        "mat1 and mat2 shapes cannot be multiplied (4x2 and 3x8)",
    ],
)
def test_complaints_about_something_else_are_left_alone(message: str) -> None:
    assert found(message, OWN) == []


def test_a_dict_is_never_to_blame() -> None:
    row = batch(leaf("x", 4, 3), class_name="dict")
    assert found("'dict' object has no attribute 'x'", row, "AttributeError") == []


def test_the_class_is_where_it_can_be_mended() -> None:
    defined = replace(OWN, class_place=Place("/user/data.py", 5, "Points", "class Points:"))
    trainers = raised("TypeError", "object of type 'Points' has no len()", place=Place())
    (finding,) = examine(asks(stopped(trainers, defined)), NoOptions())
    assert (finding.location.line, finding.also_at) == (5, ())
    (finding,) = found("object of type 'Points' has no len()", defined)
    assert (finding.location.line, finding.also_at[0].line) == (14, 5)


def test_without_a_line_of_the_users_the_loader_is_pointed_at() -> None:
    row = raised("TypeError", "object of type 'Points' has no len()", place=Place())
    (finding,) = examine(asks(stopped(row, OWN)), NoOptions())
    assert finding.location.line == 40
