"""The first process that is started is watched, and what it runs is the script's own function."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from traindoctor.watching import spawned
from traindoctor.watching.orders import Orders
from traindoctor.watching.spawned import Spawned


def train(rank: int) -> int:
    return rank


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Orders]:
    """Collect the orders of the sessions that begin in this process."""
    found: list[Orders] = []
    monkeypatch.setattr(spawned, "_begin", found.append)
    return found


def test_only_the_first_process_is_watched_and_each_gets_the_function_itself(
    begun: list[Orders], tmp_path: Path
) -> None:
    orders = Orders(script="train.py", trace=str(tmp_path / "run.trace"))
    process = Spawned(train, orders)
    first, second = (pickle.loads(pickle.dumps(process)) for _ in range(2))
    assert first is train
    assert second is train
    assert begun == [orders]


def test_a_session_that_cannot_begin_leaves_the_process_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(spawned, "_begin", refuse)
    orders = Orders(script="train.py", trace=str(tmp_path / "run.trace"))
    assert pickle.loads(pickle.dumps(Spawned(train, orders))) is train


def test_a_forked_process_calls_through() -> None:
    assert Spawned(train, Orders(script="train.py", trace="run.trace"))(3) == 3
