"""How often a run's tables are taken for writing follows what that costs."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from traindoctor.trace import Trace
from traindoctor.watching.record import FLUSH_SECONDS, LONGEST, SHARE, Record


def taken_at(seconds: float, opening: Any = None) -> list[float]:
    """Return when snapshots that take so long are taken, of steps of a tenth of a second."""
    now, found = [0.0], []
    record = Record(SimpleNamespace(clock=lambda: now[0], opening=opening))
    record.file = object()  # never written to: the writing thread is not started

    def snapshot() -> Trace:
        found.append(now[0])
        now[0] += seconds
        return Trace()

    record._taken_now = snapshot
    for step in range(1000):
        now[0] = max(now[0], step / 10)
        record.offer(now[0])
    return found


@pytest.mark.parametrize(
    ("seconds", "gap"),
    [(0.0, FLUSH_SECONDS), (0.02, 0.02 / SHARE), (0.5, LONGEST)],
)
def test_what_takes_longer_is_taken_more_rarely(seconds: float, gap: float) -> None:
    times = taken_at(seconds)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps
    assert all(gap <= each <= gap + 0.11 for each in gaps)


def test_an_opening_is_written_as_often_as_ever() -> None:
    assert len(taken_at(0.02, opening=object())) == len(taken_at(0.0))
