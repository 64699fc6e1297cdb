"""A run that is faster than its own steps is impossible, whoever tells of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import FACTORY, asks

from traindoctor.probing import Confidence, Finding, Severity
from traindoctor.trace import BackwardRow, BatchRow, Place, SetupRow, Trace
from traindoctor_probes.step_timing import Options, examine

LOOP = Place("/user/train.py", 20, "train", "for batch in loader:")
LOG = Options(num_samples=42139, epochs=5, seconds=60.0)
FACTS = {  # 4 samples in 48 ms; at the device's peak, 2,000 samples a second
    "step_seconds": 0.048,
    "idle_seconds": None,
    "forward_seconds": None,
    "batch_size": 4,
    "flops": 120e6,
    "peak_flops": 60e9,
}


def found(options: Options, num_trained: int = 8, **facts: Any) -> list[Finding]:
    setup = SetupRow(has_train_loop=True, trains_by_hand=True, factory=FACTORY)
    run = Trace(
        setup=setup,
        batches=tuple(BatchRow(index=index) for index in range(8)),
        backwards=tuple(BackwardRow(index=i, step=i, batch=i) for i in range(num_trained)),
        facts={"loop_places": [LOOP]},
    )
    ask = asks(
        short_run=run, measure_step=Trace(setup=setup, facts=FACTS | facts), read_source=Trace()
    )
    return list(examine(ask, options))


def test_a_log_that_beats_the_devices_peak_is_impossible_and_told_what_would_be_plausible() -> None:
    (finding,) = found(LOG)
    assert (finding.code, finding.severity) == ("TD501", Severity.CRITICAL)
    assert finding.confidence is Confidence.CERTAIN
    assert finding.title == (
        "Impossible: 3,512 samples/s is 42 times what a step on this device allows"
    )
    assert "60 s for 210,695 samples" in finding.message
    assert "takes 48 ms, which makes 83 a second: 42.1 min would be plausible" in finding.message
    assert "no more than 2,000 samples/s are possible at all" in finding.message


def test_a_log_that_only_beats_the_measured_step_is_likely_wrong() -> None:
    (finding,) = found(LOG, peak_flops=600e9)
    assert finding.confidence is Confidence.LIKELY
    assert finding.title.startswith("Not plausible: ")


def test_a_log_that_beats_the_forward_of_larger_batches_is_impossible() -> None:
    (finding,) = found(LOG, peak_flops=600e9, forward_rate=1000.0, forward_size=64)
    assert finding.confidence is Confidence.CERTAIN
    assert "The forward alone makes 1,000 samples/s at most, in batches of 64." in finding.message
    fast = found(LOG, peak_flops=600e9, step_seconds=0.004, forward_rate=2000.0, forward_size=64)
    assert fast == []


@pytest.mark.parametrize("facts", [{"step_seconds": 0.0009}, {"step_seconds": 0.004}])
def test_cached_features_make_a_run_that_fast(facts: dict[str, Any]) -> None:
    assert found(LOG, flops=4e3, **facts) == []


def test_where_no_step_can_be_run_the_forward_alone_is_a_bound() -> None:
    (finding,) = found(LOG, step_seconds=None, forward_seconds=0.015)
    assert "One forward on 4 samples takes 15 ms" in finding.message
    assert "at least 13.2 min would be plausible" in finding.message


def test_a_loop_that_does_not_train_gives_itself_away_by_its_speed() -> None:
    idle = {"step_seconds": None, "forward_seconds": 0.015, "idle_seconds": 1e-5}
    (finding,) = found(Options(), num_trained=0, **idle)
    assert finding.location.line == LOOP.line
    assert "The loop took 0.01 ms for 4 samples" in finding.message


def test_a_step_of_microseconds_is_not_told_from_the_loop_around_it() -> None:
    idle = {"step_seconds": None, "forward_seconds": 1e-4, "idle_seconds": 1e-5}
    assert found(Options(), num_trained=0, **idle) == []


def test_a_loop_that_trains_is_not_even_measured() -> None:
    assert list(examine(asks(short_run=Trace(batches=(BatchRow(index=0),))), Options())) == []
