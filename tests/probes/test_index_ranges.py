"""An index that has no row is told with its value, its range and its sample, before it is met."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks, batch, leaf, raised, stopped

from traindoctor.probing import Finding
from traindoctor.trace import BatchRow, CriterionRow, ModuleRow, Place, Trace
from traindoctor_probes.index_ranges import Options, examine


def labels(
    low: int, high: int, index: int = 0, shape: tuple[int, ...] = (4,), **facts: Any
) -> BatchRow:
    given = leaf(
        "labels",
        *shape,
        dtype="int64",
        minimum=low,
        maximum=high,
        sample_of_lowest=0,
        sample_of_maximum=2,
        **{"lowest": low} | facts,
    )
    return batch(leaf("x", 4, 3), given, index=index)


def out_of_bounds(value: int, low: int, high: int, **facts: Any) -> Any:
    return raised(
        "IndexError",
        f"Target {value} is out of bounds.",
        phase="loss",
        operation="cross_entropy",
        operand_shapes=((4, 3), (4,)),
        operand_ranges=(None, (low, high)),
        **facts,
    )


def found(step: Trace, *read: BatchRow, **others: Trace) -> list[Finding]:
    return list(examine(asks(step, read_batches=Trace(batches=read), **others), Options()))


def test_a_label_without_a_class_is_told_with_its_sample() -> None:
    first = labels(0, 3)
    (finding,) = found(stopped(out_of_bounds(3, 0, 3), first), first)
    assert finding.code == "TD007"
    assert finding.title == "cross_entropy takes 0 to 2, and the data holds 3"
    assert "`labels` holds 3 in sample 2 of batch 0" in finding.message


def test_a_loss_without_a_line_is_told_where_the_head_is_built() -> None:
    def layer(path: str, order: int, number: int, size: int) -> ModuleRow:
        built = Place("/user/model.py", number)
        return ModuleRow(path=path, order=order, place=built, attributes={"out_features": size})

    first = labels(0, 3)
    step = stopped(replace(out_of_bounds(3, 0, 3), place=Place()), first)
    layers = (layer("narrow", 1, 7, 3), layer("head", 4, 9, 3), layer("wide", 5, 11, 64))
    (finding,) = found(replace(step, modules=layers), first)
    assert finding.location.line == 9


def test_a_negative_label_beside_ignored_ones_is_the_one_that_is_counted() -> None:
    first = labels(-100, 2, shape=(4, 7), lowest=-1, share_ignored=0.2)
    healthy = labels(-100, 2, index=1, shape=(4, 7), lowest=0, share_ignored=0.2)
    step = stopped(out_of_bounds(-1, -100, 2), first)
    (finding,) = found(step, first, healthy)
    assert "holds -1 in sample 0 of batch 0;" in finding.message
    assert "Such values are in 1 of the 2 batches read." in finding.message
    assert fix(finding) == "Give what is not to be counted the ignore index"


@pytest.mark.parametrize(
    ("value", "shape", "remedy"),
    [
        (3, (4,), "Raise the number of classes that the head is built with"),
        (-1, (4,), "Let labels begin at 0, without gaps"),  # of one sample each
        (-1, (4, 7), "Give what is not to be counted the ignore index"),
        (-100, (4, 7), "Name the labels' own ignore index to the loss function"),
    ],
)
def test_the_remedy_fits_the_value(value: int, shape: tuple[int, ...], remedy: str) -> None:
    first = labels(min(value, 0), max(value, 2), shape=shape, share_ignored=float(value == -100))
    (finding,) = found(stopped(out_of_bounds(value, min(value, 0), max(value, 2)), first), first)
    assert fix(finding) == remedy
    assert "1 of the 1 batches" in finding.message


def test_an_ignored_label_that_is_embedded_needs_an_index_that_exists() -> None:
    ids = batch(leaf("ids", 4, 9, dtype="int64", minimum=-100, maximum=7, share_ignored=0.1))
    row = raised(
        "IndexError",
        "index out of range in self",
        operation="embedding",
        operand_shapes=((4, 9), (50, 8)),
        operand_ranges=((-100, 7), None),
    )
    (finding,) = found(stopped(row, ids), ids)
    assert "holds -100;" in finding.message
    assert "1 of the 1 batches" in finding.message
    assert fix(finding) == "Put an index that exists in place of the negative ones"


def test_a_negative_label_of_a_librarys_model_is_told_where_it_is_made() -> None:
    collate = Place("/user/data.py", 42, "collate", "labels = torch.tensor(rows)")
    row = replace(out_of_bounds(-1, -1, 2), place=Place())
    ask = asks(
        stopped(row, labels(-1, 2)),
        read_batches=Trace(batches=(labels(-1, 2),)),
        trace_batch=Trace(facts={"made": {"labels": collate}}),
    )
    (finding,) = examine(ask, Options())
    assert (finding.location.line, finding.also_at) == (42, ())


def fix(finding: Finding) -> str:
    (remedy,) = (each for each in finding.remedies if each.recommended)
    return remedy.title


def test_an_id_without_a_row_names_the_embedding() -> None:
    ids = leaf("ids", 4, 9, dtype="int64", maximum=50, sample_of_maximum=3)
    row = raised(
        "IndexError",
        "index out of range in self",
        module="tokens",
        module_class="Embedding",
        operation="embedding",
        operand_shapes=((4, 9), (50, 8)),
        operand_ranges=((0, 50), None),
    )
    (finding,) = found(stopped(row, batch(ids)), batch(ids))
    assert finding.title == "tokens (Embedding) takes 0 to 49, and the data holds 50"
    assert "sample 3" in finding.message


STEP = Trace(criteria=(CriterionRow(function="cross_entropy", num_classes=3),))


def test_a_later_batch_beyond_the_classes_is_tried_and_found() -> None:
    first, later = labels(0, 2), labels(0, 3, index=1)
    closer = stopped(out_of_bounds(3, 0, 3, batch=1), later)
    (finding,) = found(STEP, first, later, one_step_1=closer)
    assert "of batch 1" in finding.message
    assert "1 of the 2 batches read" in finding.message


def test_a_later_batch_that_the_model_can_take_is_no_fault() -> None:
    assert found(STEP, labels(0, 2), labels(0, 3, index=1), one_step_1=STEP) == []


def test_nothing_is_tried_within_the_bounds() -> None:
    rows = (ModuleRow(path="tokens", num_calls=1, attributes={"num_embeddings": 160}),)
    asked = Trace(modules=rows)
    later = labels(0, 159, index=1)
    ask = asks(asked, read_batches=Trace(batches=(labels(0, 90), later)), one_step_1=Trace())
    assert list(examine(ask, Options())) == []


def test_an_ignored_label_is_no_negative_one() -> None:
    read = (labels(0, 2), labels(-100, 2, index=1, lowest=0))
    assert found(STEP, *read, one_step_1=stopped(out_of_bounds(3, 0, 3), read[1])) == []


def test_a_negative_label_behind_an_ignored_one_in_a_later_batch_is_tried() -> None:
    first, later = labels(-100, 2, lowest=0), labels(-100, 2, index=1, lowest=-1)
    closer = stopped(out_of_bounds(-1, -100, 2, batch=1), later)
    (finding,) = found(STEP, first, later, one_step_1=closer)
    assert "1 of the 2 batches read" in finding.message


@pytest.mark.parametrize(
    "message",
    [
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
        "list index out of range",
    ],
)
def test_other_ranges_are_left_alone(message: str) -> None:
    row = raised("IndexError", message)
    assert found(stopped(row, labels(0, 1)), labels(0, 1)) == []


def test_an_indexed_tensor_says_its_value_and_its_size() -> None:
    row = raised("IndexError", "index 2 is out of bounds for dimension 1 with size 2")
    (finding,) = found(stopped(row, labels(0, 2)), labels(0, 2))
    assert finding.code == "TD007"
    assert "has 2 rows and takes 0 to 1" in finding.message


def test_the_line_where_the_values_become_too_large_is_named() -> None:
    made = Place("/user/data.py", 3, "flatten", "return codes + ranges")
    step = stopped(out_of_bounds(5, 0, 5), labels(0, 5))
    ask = asks(
        step,
        read_batches=Trace(batches=(labels(0, 5),)),
        trace_batch=Trace(facts={"largest": {"labels": made}}),
    )
    (finding,) = examine(ask, Options())
    assert finding.also_at[0].line == 3
    assert "begin at `return codes + ranges` (line 3)" in finding.message
