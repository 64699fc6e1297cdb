"""Validation departs from training where it has risen for a while and training goes on to fall."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from tests.probes.asking import LINE, SETUP, asks

from traindoctor.instruments.said import is_validated, losses_said, validations_said
from traindoctor.probing import Finding, Severity
from traindoctor.trace import ReportRow, Trace, WindowRow
from traindoctor_probes.validation_course import NoOptions, examine

RISING = (1.0, 0.9, 0.8, 0.82, 0.9, 1.0, 1.1, 1.2)
FALLING = (1.0, 0.9, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2)


def found(
    validation: Sequence[float],
    training: Sequence[float | None] = FALLING,
    is_validation: bool = True,
) -> list[Finding]:
    rows = tuple(
        ReportRow(
            name="val loss",
            value=value,
            place=LINE,
            backward=10 * (index + 1),
            since_report=WindowRow(num_losses=10, mean=mean),
            is_validation=is_validation,
        )
        for index, (value, mean) in enumerate(zip(validation, training, strict=True))
    )
    return list(examine(asks(long_run=Trace(setup=SETUP, reports=rows)), NoOptions()))


def test_the_step_where_they_part_is_named_with_both_losses() -> None:
    (finding,) = found(RISING)
    assert (finding.code, finding.severity) == ("TD116", Severity.WARNING)
    assert (
        finding.title == "`val loss` rose from 0.8 to 1.1 since step 30, and the training loss fell"
    )
    assert finding.location.line == LINE.line
    assert [len(series.y) for series in finding.series] == [8, 8]


@pytest.mark.parametrize(
    ("validation", "training"),
    [
        (FALLING, FALLING),
        (RISING, RISING),  # both rise: it diverges
        ((*RISING[:7], 0.81), FALLING),  # noise: the last one is back
        ((1.0, 0.9, 0.8, 0.81, 0.8, 0.82, 0.83, 0.82), FALLING),
        (RISING[:7], FALLING[:7]),
        ((1.0, 0.9, 0.85, 0.84, 0.83, 0.8, 1.2, 1.3), FALLING),  # two since the lowest
        (RISING, (None,) * 8),
        ((1.2, 0.9, 0.8, 1.1, 0.85, 1.2, 0.95, 1.05), FALLING),  # drawn anew for each report
        ((*RISING[:2], -0.5, *RISING[3:]), FALLING),  # a log-likelihood
    ],
)
def test_other_courses_are_healthy(
    validation: Sequence[float], training: Sequence[float | None]
) -> None:
    assert found(validation, training) == []


def test_training_losses_are_not_looked_at_and_nan_is_left_out() -> None:
    assert found(RISING, is_validation=False) == []
    assert len(found((math.nan, *RISING), (1.0, *FALLING))) == 1


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("val_loss", True),
        ("Test loss", True),
        ("eval/loss", True),
        ("best val loss", False),
        ("train loss", False),
        ("val accuracy", False),
    ],
)
def test_a_validation_loss_is_known_by_its_name(name: str, is_one: bool) -> None:
    assert is_validated(name) is is_one


def test_one_line_may_tell_of_both() -> None:
    text = "epoch 3: train loss 0.41, val loss 0.52, best val loss 0.50"
    assert [name for name, _, _ in losses_said(text)] == ["train loss"]
    assert [(name, value) for name, value, _ in validations_said(text)] == [("val loss", 0.52)]
