"""Workers that draw the same numbers are an error; those that draw others are not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.loading import DATASET, loader, one_pass, run, worker

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import Place, WorkerRow
from traindoctor_probes.worker_randomness import examine

MADE = Place("/user/data.py", 8, "Data.__init__", "self.rng = np.random.default_rng(0)")
SEEDS = Place("/user/train.py", 20, None, "def seed(worker):")


def found(workers: list[WorkerRow], passes: Any = None, **facts: Any) -> list[Finding]:
    given = {"num_workers": 2} | facts
    trace = run(loaders=[loader(**given)], passes=passes or [one_pass(*"abcdef")], workers=workers)
    return list(examine(asks(short_run=trace, watch_loader=trace), NoOptions()))


def same(*states: str, number: int = 2, **facts: Any) -> list[WorkerRow]:
    return [worker(index, *states, place=MADE, **facts) for index in range(number)]


def test_a_generator_that_is_copied_to_each_worker_is_named_where_it_is_made() -> None:
    again = [worker(index, "0", "1", "2", place=MADE, number=1) for index in range(2)]
    (finding,) = found([*same("0", "1", "2"), *again])
    assert (finding.code, finding.severity) == ("TD508", Severity.ERROR)
    assert finding.location.line == MADE.line
    assert finding.also_at[0].line == DATASET.line
    assert "is in one state in 2 of 2 workers" in finding.message
    assert "begin with that state once more" in finding.message


def test_a_function_that_seeds_every_worker_alike_is_named() -> None:
    rows = [
        worker(index, "0", "1", "2", generator="numpy.random", is_global=True, place=SEEDS)
        for index in range(2)
    ]
    (finding,) = found(rows)
    assert finding.location.line == SEEDS.line
    assert "`worker_init_fn` gives" in finding.mechanism


@pytest.mark.parametrize(
    "workers",
    [
        [worker(0, "0", "1", "2"), worker(1, "5", "6", "7")],  # seeded in each worker
        same("0", "0", "0"),  # not drawn from
        same("0", "1", "1"),  # drawn from once: an order that all agree on
        same("0", "1", "0"),  # set back for each sample
        [worker(0, "0", "1", "2"), worker(1, "0", "3", "4")],  # set by the sample's index
        same("0", "1"),  # one sample each: not enough was seen
        same("0", "1", "2", number=1),
        [],
    ],
)
def test_other_generators_are_healthy(workers: list[WorkerRow]) -> None:
    assert found(workers) == []


def test_a_stream_that_each_worker_reads_whole_is_another_rule_s() -> None:
    rows, twice = same("0", "1", "2"), one_pass(*"aabbcc", has_ended=True)
    assert found(rows, [twice], is_iterable=True) == []
    assert len(found(rows, [one_pass(*"aabbcc")], is_iterable=True)) == 1  # drawn without end


def test_what_is_only_evaluated_on_is_left_alone() -> None:
    assert found(same("0", "1", "2"), num_evaluations=1) == []
    assert found(same("0", "1", "2"), num_workers=1) == []
