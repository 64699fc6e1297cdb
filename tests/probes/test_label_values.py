"""Labels that say nothing are told; few of them, unread ones and near-constant measurements not."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from tests.probes.asking import SETUP, asks, batch, leaf

from traindoctor.probing import Finding
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes.label_values import Options, examine


def found(
    values: Sequence[float], dtype: str = "int64", inputs: str = "", compared: bool = True
) -> list[Finding]:
    labels = leaf(
        "labels",
        len(values),
        dtype=dtype,
        values=tuple(values),
        minimum=min(values),
        maximum=max(values),
        num_distinct=len(set(values)),
    )
    digests = tuple(inputs) or tuple(map(str, range(len(values))))
    x = leaf("x", len(values), 3, sample_digests=digests)
    criterion = CriterionRow(
        function="cross_entropy", target_minimum=min(values), target_maximum=max(values)
    )
    step = Trace(criteria=(criterion,) if compared else ())
    read = Trace(setup=SETUP, batches=(batch(x, labels),))
    return list(examine(asks(step, read_batches=read), Options()))


def test_one_label_for_all_is_told() -> None:
    (finding,) = found([3.0] * 100)
    assert (finding.code, finding.title) == ("TD507", "Every label is 3")


def test_nearly_one_label_for_all_is_told() -> None:
    (finding,) = found([0.0] * 98 + [1.0] * 2)
    assert finding.title.startswith("98.0%")


def test_equal_inputs_with_unequal_labels_are_told() -> None:
    (finding,) = found([0.0, 1.0] * 40, inputs="a" * 80)
    assert finding.title.startswith("100%")


@pytest.mark.parametrize("odds", [(0.2, 0.8), (0.4, 0.6)])
def test_labels_that_are_drawn_by_odds_of_their_inputs_are_healthy(odds: tuple[float, ...]) -> None:
    generator = random.Random(0)
    inputs = "ab" * 500
    values = [float(generator.random() < odds[item == "b"]) for item in inputs]
    assert found(values, inputs=inputs) == []
    generator.shuffle(values)
    assert len(found(values, inputs=inputs)) == 1


def test_where_equal_inputs_are_too_few_to_tell_nothing_is_said() -> None:
    generator = random.Random(0)
    inputs = "".join(map(chr, range(40))) * 2
    assert found([float(generator.random() < 0.5) for _ in inputs], inputs=inputs) == []


def test_few_samples_say_nothing() -> None:
    assert found([3.0] * 20) == []


def test_a_label_that_no_loss_function_gets_says_nothing() -> None:
    assert found([3.0] * 100, compared=False) == []


def test_measurements_that_lie_close_together_are_healthy() -> None:
    assert found([1 + 1e-4 * n for n in range(100)], dtype="float32") == []


def test_balanced_labels_are_healthy() -> None:
    assert found([0.0, 1.0] * 40) == []
