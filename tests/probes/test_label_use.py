"""Labels that somebody asks for must matter to the loss."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.changing import LOSS_LINE, changed

from traindoctor.errors import CannotJudge
from traindoctor.probing import Confidence, Finding, Severity
from traindoctor.trace import Trace
from traindoctor_probes.label_use import NoOptions, examine

LABELS = ("labels permuted", "labels of one sample")
SAME = dict.fromkeys(LABELS, 2.0)


def found(trace: Trace) -> list[Finding]:
    return list(examine(asks(changed_batch=trace), NoOptions()))


def test_labels_that_the_loss_function_wants_and_does_not_use_are_an_error() -> None:
    (finding,) = found(changed(SAME, same=LABELS, wants_labels="loss_fn"))
    assert (finding.code, finding.severity) == ("TD113", Severity.ERROR)
    assert finding.confidence is Confidence.LIKELY
    assert finding.location.line == LOSS_LINE.line


def test_labels_that_an_operation_was_given_are_named_there() -> None:
    (finding,) = found(changed(SAME, same=LABELS, label_uses=(("clamp", LOSS_LINE),)))
    assert finding.confidence is Confidence.CERTAIN
    assert "last used by `clamp`" in finding.message


@pytest.mark.parametrize(
    "facts",
    [
        {"same": LABELS},  # nobody asks for them: self-supervised
        {"same": LABELS[:1], "wants_labels": "loss_fn"},
        {"same": LABELS, "wants_labels": "loss_fn", "gradient_norm": 0.0},  # nothing is learned
    ],
)
def test_labels_that_nobody_asks_for_or_that_matter_are_healthy(facts: Any) -> None:
    assert found(changed(SAME, **facts)) == []


def test_a_loss_that_moves_in_its_last_digits_depends_on_them() -> None:
    other = {**SAME, "labels permuted": 2.0000002}
    assert found(changed(other, same=LABELS, wants_labels="loss_fn")) == []


@pytest.mark.parametrize("facts", [{"again": 2.1}, {"again": float("nan")}])
def test_a_loss_with_noise_of_its_own_is_not_judged(facts: Any) -> None:
    with pytest.raises(CannotJudge):
        found(changed(SAME, same=LABELS, wants_labels="loss_fn", **facts))
