"""Which steps are the program's, and which are an optimizer's own inside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.optim.optimizer import _global_optimizer_pre_hooks as hooks

from traindoctor.instruments.stepping import Stepping


class Inner(torch.optim.SGD):
    """Steps by its parent's step, twice."""

    def step(self, closure: Any = None) -> Any:
        super().step()
        return super().step(closure)


class Refusing(torch.optim.SGD):
    """Raises once."""

    has_raised = False

    def step(self, closure: Any = None) -> Any:
        if not self.has_raised:
            self.has_raised = True
            raise RuntimeError("out of memory")
        return super().step(closure)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    told: list[str] = []

    def begins(optimizer: Any) -> None:
        told.append(f"{type(optimizer).__name__} begins")

    def ends(optimizer: Any) -> None:
        told.append(f"{type(optimizer).__name__} ends")

    with Stepping().told(begins, ends):
        yield told


def built(kind: type[torch.optim.Optimizer]) -> Any:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    return kind([weight], lr=0.1)  # type: ignore[call-arg]


def test_a_step_by_a_parent_s_step_is_one(heard: list[str]) -> None:
    optimizer = built(Inner)
    optimizer.step()
    optimizer.step()
    assert heard == ["Inner begins", "Inner ends"] * 2


def test_two_optimizers_one_inside_the_other_are_two(heard: list[str]) -> None:
    inner, outer = built(torch.optim.SGD), built(torch.optim.Adam)
    outer.step(inner.step)
    assert heard == ["Adam begins", "SGD begins", "SGD ends", "Adam ends"]


def test_after_a_step_that_raised_the_next_one_is_seen(heard: list[str]) -> None:
    optimizer = built(Refusing)
    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step()
    optimizer.step()
    optimizer.step()
    assert heard == ["Refusing begins", *["Refusing begins", "Refusing ends"] * 2]


def test_hooks_stay_until_the_last_listener_is_gone() -> None:
    stepping, told = Stepping(), list[str]()
    before = len(hooks)
    with stepping.told(lambda _: told.append("outer"), lambda _: None):
        with stepping.told(lambda _: told.append("inner"), lambda _: None):
            built(torch.optim.SGD).step()
            assert len(hooks) == before + 1
        built(torch.optim.SGD).step()
    built(torch.optim.SGD).step()
    assert told == ["outer", "inner", "outer"]
    assert len(hooks) == before
