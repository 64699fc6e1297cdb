"""The mode counts in which a model is called for a backward pass that a step of its own follows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from traindoctor.watching.modes import Modes


def begun(net: nn.Module) -> Modes:
    modes = Modes()
    anatomy: Any = SimpleNamespace(setup=SimpleNamespace(model=net))
    modes.begin(anatomy)
    return modes


def passes(modes: Modes, net: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    modes.called(net)
    modes.differentiated()
    for optimizer in optimizers:
        modes.step_begins(optimizer)


def test_each_change_is_kept_once() -> None:
    net = nn.Linear(2, 2)
    modes, optimizer = begun(net), torch.optim.SGD(net.parameters(), lr=0.1)
    for is_training in (True, True, False, False, True):
        passes(modes, net.train(is_training), optimizer)
    assert modes.by_path() == {"": [True, False, True]}


def test_a_pass_without_a_step_is_no_training() -> None:
    net = nn.Linear(2, 2)
    modes, optimizer = begun(net), torch.optim.SGD(net.parameters(), lr=0.1)
    passes(modes, net, optimizer)
    passes(modes, net.eval())  # an attack, after the training
    assert modes.by_path() == {"": [True]}


def test_a_step_on_something_else_is_not_the_models() -> None:
    net, image = nn.Linear(2, 2), nn.Parameter(torch.zeros(2))
    modes, optimizer = begun(net), torch.optim.SGD([image], lr=0.1)
    passes(modes, net.eval(), optimizer)
    assert modes.by_path() == {}


def test_of_a_frozen_model_no_mode_counts() -> None:
    net = nn.Linear(2, 2)
    modes, optimizer = begun(net), torch.optim.SGD(net.parameters(), lr=0.1)
    passes(modes, net.eval().requires_grad_(False), optimizer)
    assert modes.by_path() == {}


def test_two_optimizers_may_step_on_one_pass() -> None:
    net, other = nn.Linear(2, 2), nn.Linear(2, 2)
    modes = begun(net)
    both = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (other, net)]
    passes(modes, net.eval(), *both)
    assert modes.by_path() == {"": [False]}
