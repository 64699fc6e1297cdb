"""Batches of ignored labels alone are an error; a few masked samples are not."""

from __future__ import annotations

import math

from tests.probes.asking import LINE, asks, batch, leaf

from traindoctor.probing import Finding, Severity
from traindoctor.trace import BatchRow, CriterionRow, Trace
from traindoctor_probes.label_coverage import Options, examine


def labels(share: float, index: int = 0) -> BatchRow:
    return batch(leaf("labels", 4, dtype="int64", share_ignored=share), index=index)


def trained(share: float, value: float) -> Trace:
    row = CriterionRow(
        function="cross_entropy", place=LINE, share_ignored=share, ignore_index=-100, value=value
    )
    return Trace(criteria=(row,))


def found(step: Trace, *read: BatchRow, **others: Trace) -> list[Finding]:
    return list(examine(asks(step, read_batches=Trace(batches=read), **others), Options()))


def test_the_mean_over_no_label_is_nan() -> None:
    (finding,) = found(trained(1.0, math.nan), labels(1.0), labels(1.0, 1))
    assert (finding.code, finding.severity) == ("TD009", Severity.ERROR)
    assert "2 of the 2 batches" in finding.message
    assert "TD102" in finding.explains
    assert finding.location.line == LINE.line


def test_a_later_batch_without_labels_is_tried() -> None:
    later = trained(1.0, math.nan)
    (finding,) = found(trained(0.2, 1.5), labels(0.2), labels(1.0, 1), one_step_1=later)
    assert "1 of the 2 batches" in finding.message


def test_a_rare_batch_with_loss_zero_is_a_warning() -> None:
    read = [labels(1.0), *(labels(0.1, i) for i in range(1, 9))]
    (finding,) = found(trained(1.0, 0.0), *read)
    assert finding.severity == Severity.WARNING


def test_an_ignore_index_of_the_users_own_counts() -> None:
    assert [f.code for f in found(trained(1.0, math.nan), labels(0.0))] == ["TD009"]


def test_a_few_masked_samples_are_healthy() -> None:
    assert found(trained(0.9, 1.2), labels(0.9)) == []


def test_a_loss_that_is_left_out_without_labels_is_healthy() -> None:
    assert found(trained(0.0, 1.2), labels(0.0), labels(1.0, 1), one_step_1=Trace()) == []


def test_a_second_task_whose_loss_stays_finite_is_healthy() -> None:
    assert found(trained(1.0, 0.7), labels(1.0)) == []
