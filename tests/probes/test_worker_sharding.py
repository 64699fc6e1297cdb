"""A stream that each worker reads whole is an error; real duplicates are not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.loading import DATASET, labelled, loader, one_pass, run, worker

from traindoctor.errors import CannotJudge
from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import BatchRow, LeafRow
from traindoctor_probes.worker_sharding import examine

BOTH = [worker(0), worker(1)]


def found(
    one: Any, workers: Any = BOTH, batches: list[BatchRow] | None = None, **facts: Any
) -> list[Finding]:
    given = {"num_workers": 2, "is_iterable": True, "is_in_order": False, "num_batches": None}
    trace = run(
        loaders=[loader(**given | facts)],
        passes=[one],
        workers=workers,
        batches=batches or [],
    )
    return list(examine(asks(short_run=trace, watch_loader=trace), NoOptions()))


def test_batches_that_come_from_each_worker_are_named_where_the_stream_is_read() -> None:
    (finding,) = found(one_pass(*"aabbcc", has_ended=True, num_samples=24))
    assert (finding.code, finding.severity) == ("TD509", Severity.ERROR)
    assert finding.location.line == DATASET.line
    assert "each batch was followed by 1 equal to it" in finding.message
    assert "ended after 24 samples; the stream has 12" in finding.message


def test_real_duplicates_in_a_stream_that_is_shared_are_healthy() -> None:
    twice = one_pass(*"aabbcc", has_ended=True)
    assert found(twice, [worker(0, asks_who_it_is=True), worker(1, asks_who_it_is=True)]) == []
    assert found(twice, [worker(0), worker(1, is_set_apart=True)]) == []


def test_without_a_look_into_the_workers_it_cannot_be_judged() -> None:
    with pytest.raises(CannotJudge, match="not forked"):
        found(one_pass(*"aabbcc"), [])


@pytest.mark.parametrize(
    ("one", "facts"),
    [
        (one_pass(*"abcdef"), {}),
        (one_pass(*"aaaaaa"), {}),  # one batch for ever: another rule's
        (one_pass(*"aabbcc"), {"num_workers": 1}),
        (one_pass(*"aabbcc"), {"is_iterable": False}),
        (one_pass(*"aabbcc"), {"num_evaluations": 1}),
    ],
)
def test_other_loaders_are_healthy(one: Any, facts: Any) -> None:
    assert found(one, **facts) == []


def test_samples_drawn_without_end_from_one_state_are_another_rule_s() -> None:
    drawn = [worker(index, "0", "1", "2") for index in range(2)]
    assert found(one_pass(*"aabbcc"), [*BOTH, *drawn]) == []


def test_labels_that_come_again_tell_it_where_inputs_are_augmented() -> None:
    labels = [[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1]]
    rows = [labelled(index, *labels[index // 2]) for index in range(8)]
    (finding,) = found(one_pass(*"abcdefgh"), batches=rows)
    assert "'1' of each batch came again" in finding.message
    mixed = [labelled(index, *labels[index % 4]) for index in range(8)]
    assert found(one_pass(*"abcdefgh"), batches=mixed) == []


def shuffled(order: list[int]) -> list[BatchRow]:
    rows = []
    for index in range(0, len(order), 4):
        digests = tuple(f"s{item}" for item in order[index : index + 4])
        leaf = LeafRow(key="x", shape=(4, 3), dtype="float32", sample_digests=digests)
        rows.append(BatchRow(index=index // 4, leaves=(leaf,), size=4))
    return rows


def test_samples_that_each_worker_shuffles_come_once_from_each() -> None:
    whole, other = list(range(16)), list(range(15, -1, -1))
    batches = shuffled([*whole[:8], *other[:8], *whole[8:], *other[8:]])
    one = one_pass(*"abcdefgh", has_ended=True)
    (finding,) = found(one, batches=batches)
    assert "each of 16 different samples came 2 times" in finding.message
    assert found(one_pass(*"abcdefgh"), batches=batches) == []  # not the whole pass
    replaced = shuffled([*whole, *whole[:15], 3])  # drawn with replacement
    assert found(one, batches=replaced) == []
