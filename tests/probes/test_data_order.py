"""Sorted classes are worth a warning; a fixed order alone is not."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.loading import LOADER, labelled, loader, one_pass, run

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import Trace
from traindoctor_probes.data_order import examine

SORTED = [[0.0] * 16, [0.0] * 16, [0.0] * 4 + [1.0] * 12, [1.0] * 16]
random.seed(0)
MIXED = [[float(random.randrange(4)) for _ in range(16)] for _ in range(4)]


def found(
    batches: list[list[float]], spread: list[float] | None = None, orders: str = "a", **facts: Any
) -> list[Finding]:
    label = facts.pop("label", {})
    trace = run(
        loaders=[loader(**{"num_batches": 40, "batch_size": 16, **facts})],
        passes=[
            one_pass(*(f"{order}{i}" for i in range(4)), index=number, number=number)
            for number, order in enumerate(orders)
        ],
        batches=[labelled(index, *row, **label) for index, row in enumerate(batches)],
    )
    others = {}
    if spread is not None:
        rows = tuple(labelled(index, value) for index, value in enumerate(spread))
        others["spread_samples"] = Trace(batches=rows)
    return list(examine(asks(short_run=trace, **others), NoOptions()))


def test_sorted_classes_are_named_at_the_loader() -> None:
    (finding,) = found(SORTED)
    assert (finding.code, finding.severity) == ("TD504", Severity.WARNING)
    assert finding.location.line == LOADER.line
    assert "3 of 4 batches in a row hold one class alone" in finding.message
    assert "labels are of 2 classes, one after the other" in finding.message


def test_where_one_class_comes_first_the_rest_of_the_data_is_asked() -> None:
    first = [[0.0] * 16] * 4
    (finding,) = found(first, spread=[0.0] * 32 + [1.0] * 32 + [2.0] * 32)
    assert "those of a class stand together, 3 classes" in finding.message
    assert len(found(first, spread=[float(value) for value in range(96)])) == 1  # many classes
    assert found(first, spread=[0.0, 1.0, 0.0, 2.0] * 24) == []
    assert found(first, spread=[0.0] * 96) == []  # one class: another rule's
    assert found(first) == []  # a watched run: its later batches tell


@pytest.mark.parametrize(
    ("batches", "facts"),
    [
        (MIXED, {}),
        (SORTED, {"is_in_order": False, "sampler_class": "ByLength"}),
        (SORTED, {"num_batches": 1}),
        ([[float(16 * i + j) for j in range(16)] for i in range(4)], {}),  # each its own: no class
        (SORTED, {"label": {"dtype": "float32", "values": (0.1, 0.2)}}),  # measured
        ([[0.0] * 30 + [1.0] * 34], {}),  # one batch that holds all
        ([[0.0] * 16, [0.0] * 15 + [1.0]], {}),  # a rare class, by chance at the end
    ],
)
def test_other_orders_are_healthy(batches: Any, facts: Any) -> None:
    assert found(batches, **facts) == []


def test_data_that_the_loop_shuffles_by_itself_is_healthy() -> None:
    assert found([[0.0] * 16] * 4, spread=[0.0] * 48 + [1.0] * 48, orders="ab") == []


def test_a_mixed_order_that_is_the_same_in_each_pass_is_information() -> None:
    (finding,) = found(MIXED, orders="aa")
    assert finding.severity is Severity.INFO
    assert "2 passes over Data began with the same batches" in finding.message
    assert found(MIXED, orders="ab") == []


def test_evaluation_is_not_training() -> None:
    assert found(SORTED, num_passes=1, num_evaluations=1) == []
