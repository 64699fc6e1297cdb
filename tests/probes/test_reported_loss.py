"""A report is wrong if a mistake alone explains every number of it; all else is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks

from traindoctor.errors import CannotJudge
from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import (
    BackwardRow,
    CriterionRow,
    Place,
    ReportRow,
    SetupRow,
    SourceRow,
    Trace,
    WindowRow,
)
from traindoctor_probes.reported_loss import examine, scale_of

FILE = "/user/train.py"
LINE = Place(FILE, 6, "train", "print(...)")
CODE = """\
def train(model, loader):
    running = 0.0
    for i, batch in enumerate(loader):
        running += step(model, batch)
        if i % 12 == 11:
            print(f"loss {running / 2000:.6f}")
"""
EPOCHS = (
    (1.3, 1.1),
    (0.9, 1.0),
    (0.71, 0.6),
    (0.52, 0.55),
)  # mean loss, and that of the last batch
SIZE, BATCHES = 32, 12


def reports(show: Any, **facts: Any) -> tuple[ReportRow, ...]:
    """Return a report an epoch, of twelve batches of 32; `show` makes it from mean and last."""
    rows = []
    for epoch, (mean, last) in enumerate(EPOCHS):
        samples = SIZE * BATCHES
        window = WindowRow(
            num_losses=BATCHES,
            mean=mean,
            last=last,
            weighted=mean * samples,
            num_samples=samples,
        )
        row = ReportRow(
            name="loss",
            value=round(show(mean, last), 6),
            resolution=5e-7,
            place=LINE,
            backward=BATCHES * (epoch + 1),
            since_report=window,
            since_epoch=window,
            num_dataset=samples,
        )
        rows.append(replace(row, **facts))
    return tuple(rows)


def first_step(ratio: float = 1.0, *more: CriterionRow, **facts: Any) -> Trace:
    """Return a step whose loss function's value is `ratio` times what was differentiated."""
    criterion = CriterionRow(function="cross_entropy", value=1.4 * ratio, **facts)
    return Trace(
        criteria=(criterion, *more), backwards=(BackwardRow(index=0, step=0, batch=0, loss=1.4),)
    )


def found(
    rows: tuple[ReportRow, ...], step: Trace | None = None, source: str = CODE, **setup: Any
) -> list[Finding]:
    run = Trace(
        backwards=(BackwardRow(index=0, step=0, batch=0),), reports=rows, setup=SetupRow(**setup)
    )
    files = Trace(source=(SourceRow(file=FILE, text=source),))
    step = step if step is not None else first_step()
    return list(examine(asks(step, long_run=run, read_source=files), NoOptions()))


@pytest.mark.parametrize(
    ("show", "what", "factor"),
    [
        (lambda mean, last: mean * 12 / 384, "divided by the number of samples", 12 / 384),
        (lambda mean, last: mean * 32, "multiplied by their batch's size", 32.0),
        (lambda mean, last: last / 12, "the last batch's loss alone", 1.1 / 12 / 1.3),
        (lambda mean, last: mean * 12 / 2000, "divided by 2000", 12 / 2000),
    ],
)
def test_a_wrong_divisor_is_an_error_that_names_its_factor(
    show: Any, what: str, factor: float
) -> None:
    (finding,) = found(reports(show))
    assert (finding.code, finding.severity, finding.location.line) == ("TD806", Severity.ERROR, 6)
    assert what in finding.message
    (shown,) = [row.value for row in finding.evidence if row.label == "reported over the loss"]
    assert shown == pytest.approx(factor, rel=1e-2)


def test_a_loss_over_the_accumulation_is_a_warning() -> None:
    (finding,) = found(reports(lambda mean, last: mean), first_step(4.0))
    assert finding.severity is Severity.WARNING
    assert "divided by the accumulation" in finding.message
    assert finding.remedies[0].title == "Report the loss before it is divided"
    assert found(reports(lambda mean, last: 4 * mean), first_step(4.0)) == []
    (finding,) = found(reports(lambda mean, last: last), first_step(4.0))
    assert "a loss that was divided by the accumulation" in finding.message


@pytest.mark.parametrize(
    "show",
    [
        lambda mean, last: mean,
        lambda mean, last: 12 * mean,  # a sum
        lambda mean, last: last,
        lambda mean, last: 384 * mean,
        lambda mean, last: 0.5 * mean + 0.3 * last,  # smoothed, a median, one of several terms
        lambda mean, last: 3.0 * mean,  # no factor that stands for anything
        lambda mean, last: 0.01,
    ],
)
def test_means_sums_last_losses_and_what_is_not_known_are_silent(show: Any) -> None:
    assert found(reports(show)) == []


def test_a_loop_that_saw_a_part_of_its_loader_may_divide_by_the_whole() -> None:
    assert found(reports(lambda mean, last: mean * 12 / 48), num_batches=48) == []


@pytest.mark.parametrize(
    "step",
    [
        first_step(reduction="sum"),
        first_step(0.37),
        first_step(1.0, CriterionRow(function="kl_div", value=0.1)),
        Trace(),
    ],
)
def test_without_one_mean_that_is_differentiated_nothing_is_proven(step: Trace) -> None:
    assert found(reports(lambda mean, last: mean / 32), step) == []


LOSS = "def bpr_loss(a, b):\n    return -F.logsigmoid(a - b).mean()\n"


def test_a_loss_function_of_the_users_own_is_a_mean_if_its_code_says_so() -> None:
    wrong, plain = reports(lambda mean, last: mean / 32), Trace(backwards=first_step().backwards)
    (finding,) = found(wrong, plain, source=CODE + LOSS)
    assert finding.confidence is Confidence.LIKELY
    assert found(wrong, plain, source=CODE + LOSS.replace("mean", "sum")) == []
    assert found(wrong, plain) == []


def test_too_few_digits_or_reports_prove_nothing() -> None:
    wrong = reports(lambda mean, last: mean / 32)
    assert found(wrong[:1]) == []
    assert (
        found(tuple(replace(row, value=round(row.value, 2), resolution=5e-3) for row in wrong))
        == []
    )


def test_nan_that_is_left_out_of_a_mean_is_an_error() -> None:
    rows = list(reports(lambda mean, last: mean))
    bad = replace(rows[2].since_report, num_nan=3)
    rows[2] = replace(rows[2], since_report=bad)
    (finding,) = found(tuple(rows))
    assert finding.severity is Severity.ERROR
    assert finding.title == "`loss` is reported as 0.71, and was NaN in 3 of 12 batches"


@pytest.mark.parametrize(
    ("channel", "value", "number"),
    [
        ("Trainer.log", 0.0, 1),  # whatever it says: it is a mean, and a number
        ("print", 0.6, 0),  # the last loss, as it was
        ("print", float("nan"), 0),
        ("print", 0.123, 0),  # something else
    ],
)
def test_a_report_that_does_not_speak_of_the_nan_is_left_alone(
    channel: str, value: float, number: int
) -> None:
    rows = list(reports(lambda mean, last: mean))
    window = replace(rows[2].since_report, num_nan=3)
    rows[2] = replace(rows[2], since_report=window, channel=channel, value=value)
    assert len(found(tuple(rows))) == number


def test_the_scale_is_that_of_the_pass_it_belongs_to() -> None:
    assert scale_of(first_step(1.0, CriterionRow(function="mse_loss", value=9.0, batch=1))) == 1.0
    assert scale_of(first_step(1.00002)) == 1.0
    assert scale_of(first_step(1.3)) is None


def test_without_a_backward_pass_nothing_is_judged() -> None:
    with pytest.raises(CannotJudge):
        list(examine(asks(long_run=Trace()), NoOptions()))
