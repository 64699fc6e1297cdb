"""Waiting is judged beside the step, and only where it is long enough to matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.loading import LOADER, labelled, loader, one_pass, run

from traindoctor.probing import Finding, Severity
from traindoctor.trace import Trace
from traindoctor_probes.data_waiting import Options, examine

SPEED = {"batch_seconds": 0.04, "other_workers": 2, "other_seconds": 0.022, "again_seconds": 0.04}


def batches(seconds: list[float]) -> list[Any]:
    return [replace(labelled(i, 0, 1), fetch_seconds=s) for i, s in enumerate(seconds)]


def found(
    seconds: list[float], step: float | None = 0.01, speed: Any = SPEED, **facts: Any
) -> list[Finding]:
    loaders = [loader(**{"num_batches": 100, **facts})]
    trace = run(loaders=loaders, passes=[one_pass(*"abcdef")], batches=batches(seconds))
    asked = asks(
        short_run=trace,
        watch_loader=trace,
        measure_step=Trace(facts={"step_seconds": step}),
        loader_speed=Trace(facts=speed),
    )
    return list(examine(asked, Options()))


def test_a_slow_loader_is_named_with_what_workers_would_change() -> None:
    (finding,) = found([0.5] + [0.04] * 5)
    assert (finding.code, finding.severity) == ("TD510", Severity.WARNING)
    assert finding.location.line == LOADER.line
    assert finding.title.startswith("80% of a step's time")
    assert "With 2 workers a batch comes every 22 ms instead of 40 ms" in finding.message


@pytest.mark.parametrize(
    ("seconds", "facts"),
    [
        ([0.5] + [0.002] * 5, {}),  # the first batch alone, and the rest below the floor
        ([0.04] * 6, {"step": 0.05}),
        ([0.04] * 6, {"step": None}),
        ([0.04] * 6, {"num_batches": 10}),  # four seconds in the whole run
        ([0.04] * 6, {"speed": SPEED | {"again_seconds": 1e-4}}),  # kept after the first reading
        ([0.0] * 6, {}),  # the batches were there already
        ([0.0, 0.001, 0.2, 0.001, 0.001, 0.001], {}),  # one of them was disturbed
    ],
)
def test_other_loaders_are_healthy(seconds: list[float], facts: Any) -> None:
    assert found(seconds, **facts) == []


def test_workers_prepare_batches_while_a_step_is_computed() -> None:
    bursts = [0.1, 0.0, 0.1, 0.0] + [0.08, 0.0] * 8
    assert found(bursts, step=0.03, num_workers=2) == []
    (finding,) = found(bursts, step=0.01, num_workers=2)
    assert "more slowly than the steps use them" in finding.mechanism


def test_what_more_workers_do_not_help_is_said() -> None:
    slower = SPEED | {"other_seconds": 0.05}
    assert "workers alone do not help" in found([0.04] * 6, speed=slower)[0].message
    none = SPEED | {"other_workers": None, "other_seconds": None}
    assert "no more processors than workers" in found([0.04] * 6, speed=none)[0].message


def watched(fetch: float, whole: float, number: int = 100) -> list[Finding]:
    one = replace(
        one_pass(*"abcdef", num_batches=number),
        first_seconds=1.0,
        fetch_seconds=1.0 + fetch,
        seconds=1.0 + whole,
    )
    trace = run(loaders=[loader()], passes=[one], is_watched=True)
    return list(examine(asks(short_run=trace), Options()))


def test_a_watched_run_is_judged_by_its_own_passes() -> None:
    (finding,) = watched(3.0, 4.0)
    assert finding.title.startswith("75% of a step's time")
    assert "`traindoctor check` tells" in finding.message
    assert watched(1.5, 4.0) == []
    assert watched(0.9, 1.0) == []  # in all
    assert watched(3.0, 4.0, number=10) == []
    assert watched(3.0, 4.0, number=3000) == []  # of a batch
