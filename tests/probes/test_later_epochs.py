"""Data that can be read once is a fault where it is to be read more often."""

from __future__ import annotations

from typing import Any

from tests.probes.asking import FACTORY, asks

from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import BatchRow, Place, SetupRow, Trace
from traindoctor_probes.later_epochs import examine

LINE = Place("/user/train.py", 44, None, '"loader": batches(),')
LOOP = Place("/user/train.py", 30, "train", "for batch in batches:")
USED_UP = {"is_used_up": True, "is_own_iterator": True, "num_first": 24, "place": LINE}
FRESH = {"is_used_up": False, "is_own_iterator": False}


def found(
    second: dict[str, Any], epochs: int | None = 10, loops: int = 0, **facts: Any
) -> list[Finding]:
    setup = SetupRow(epochs=epochs, has_train_loop=loops > 0, factory=FACTORY)
    run = Trace(
        setup=setup,
        batches=(BatchRow(index=0), BatchRow(index=1)),
        facts={"loop_places": [LOOP] * loops} | facts,
    )
    ask = asks(short_run=run, second_epoch=Trace(setup=setup, facts=second))
    return list(examine(ask, NoOptions()))


def test_a_generator_for_ten_epochs_is_an_error_where_it_is_made() -> None:
    (finding,) = found(USED_UP)
    assert (finding.code, finding.severity) == ("TD513", Severity.ERROR)
    assert finding.location.line == 44
    assert "24 batches and the second none; 10 epochs are declared" in finding.message


def test_one_pass_over_a_generator_is_meant() -> None:
    assert found(USED_UP, epochs=1) == []
    assert found(USED_UP, epochs=None, loops=1) == []


def test_a_loop_that_reads_it_again_means_several_epochs() -> None:
    assert len(found(USED_UP, epochs=None, loops=2)) == 1


def test_a_generator_that_is_longer_than_was_read_is_judged_by_its_code() -> None:
    long = USED_UP | {"is_used_up": None, "num_first": None}
    (finding,) = found(long | {"looks_endless": False})
    assert finding.confidence is Confidence.LIKELY
    assert found(long | {"looks_endless": True}) == []


def test_a_loader_that_starts_again_is_healthy() -> None:
    assert found(FRESH) == []


def test_an_iterator_made_before_the_epochs_is_named_where_it_is_asked_in_vain() -> None:
    (finding,) = found(FRESH, loops=1, asked_after_end=[LOOP, LOOP])
    assert finding.location.line == 30
    assert "asked for batches 2 times" in finding.message


def test_who_empties_a_queue_at_an_epochs_end_asks_on_and_knows_it() -> None:
    next_one = Place("/user/train.py", 31, "train", "batch = next(stream, None)")
    assert found(FRESH, loops=1, asked_after_end=[next_one, next_one]) == []
    assert found(FRESH, loops=2, asked_after_end=[LOOP, LOOP]) == []
