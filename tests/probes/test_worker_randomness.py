"""Workers that draw the same numbers are an error; those that draw others are not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.loading import DATASET, loader, one_pass, run, worker

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import Place, SourceRow, Trace, WorkerRow
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


WRITTEN = """
class Blobs(Dataset):
    def __getitem__(self, index):
        return DRAW

def seed_worker(worker):
    torch.manual_seed(SEED)

loader = DataLoader(Blobs(), num_workers=2, worker_init_fn=seed_worker)
"""


def written(seed: str, draw: str = "torch.randn(3)") -> list[Finding]:
    """Return what is found of workers that are not looked at: spawned ones."""
    row = loader(
        num_workers=2,
        has_worker_init=True,
        dataset_class="Blobs",
        dataset_place=Place("/user/train.py", 3),
    )
    trace = run(loaders=[row], passes=[one_pass(*"abcdef")], workers=[])
    text = WRITTEN.replace("SEED", seed).replace("DRAW", draw)
    source = Trace(source=(SourceRow(file="/user/train.py", text=text),))
    ask = asks(short_run=trace, watch_loader=trace, read_source=source)
    return list(examine(ask, NoOptions()))


def test_a_number_for_a_seed_is_named_where_workers_are_not_seen() -> None:
    (finding,) = written("0")
    assert (finding.code, finding.location.line, finding.also_at[0].line) == ("TD508", 7, 4)


def test_a_seed_that_differs_from_worker_to_worker_is_right() -> None:
    assert written("worker") == []
    assert written("get_worker_info().seed % 2**31") == []


def test_a_seed_that_the_data_set_does_not_draw_on_is_no_matter() -> None:
    assert written("0", draw="torch.randn(3, generator=self.g)") == []
    assert written("0", draw="np.random.randn(3)") == []
