"""A long run trains as its setup says, for as long as it is given, at the rate it is told."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.experiments import Lab, LongRun
from traindoctor.target.setup import TrainingSetup


def loader(num_samples: int = 64) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_samples, 4, generator=generator)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8)


def a_setup(**more: Any) -> TrainingSetup:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    given = {"optimizer": torch.optim.SGD(model.parameters(), lr=0.01), "loss_fn": nn.MSELoss()}
    return TrainingSetup(model=model, **{"loader": loader(), **given, **more})


def train(model: Any, loader: Any, optimizer: Any, epochs: int) -> None:
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()


def by_hand(number: int, rate: float = 0.01) -> list[float]:
    torch.manual_seed(0)
    weight = nn.Linear(4, 1)
    losses = []
    batches = list(loader())
    for index in range(number):
        x, y = batches[index % len(batches)]
        loss = F.mse_loss(weight(x), y)
        losses.append(loss.item())
        for p, grad in zip(
            weight.parameters(), torch.autograd.grad(loss, list(weight.parameters())), strict=True
        ):
            p.data -= rate * grad
    return losses


@pytest.mark.parametrize("loop", [None, train])
def test_its_pulses_are_the_losses_of_training_by_hand(loop: Any) -> None:
    trace = Lab(a_setup(train_loop=loop)).perform(LongRun(num_batches=20))
    losses = [row.loss for row in trace.pulses]
    assert len(losses) == (24 if loop else 20)  # a loop of the user's ends with its epochs
    assert losses == pytest.approx(by_hand(len(losses)))
    assert [row.num_samples for row in trace.pulses] == [8] * len(losses)
    assert trace.gradients == ()


def test_a_factor_multiplies_the_rate_and_what_its_schedule_starts_from() -> None:
    setup = a_setup()
    setup.scheduler = torch.optim.lr_scheduler.StepLR(setup.optimizer, step_size=2, gamma=0.5)
    rates = [
        [row.first_learning_rates[0] for row in Lab(setup).perform(experiment).pulses]
        for experiment in (LongRun(num_batches=5), LongRun(num_batches=5, factor=0.1))
    ]
    assert rates[0] == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025])
    assert rates[1] == pytest.approx([rate / 10 for rate in rates[0]])
    assert setup.optimizer.param_groups[0]["lr"] == 0.01
    assert setup.scheduler.base_lrs == [0.01]


def test_the_doctors_own_optimizer_is_scaled_as_well() -> None:
    trace = Lab(a_setup(optimizer=None)).perform(LongRun(num_batches=3, factor=0.1))
    assert {row.first_learning_rates for row in trace.pulses} == {(1e-4,)}


def test_it_ends_in_time_also_where_a_validation_never_ends() -> None:
    def slow(model: Any, loader: Any, optimizer: Any, validation_loader: Any, epochs: int) -> None:
        train(model, loader, optimizer, 1)
        while True:
            for x, _ in validation_loader:
                model(x)
                time.sleep(0.01)

    setup = a_setup(train_loop=slow, validation_loader=loader())
    trace = Lab(setup).perform(LongRun(max_seconds=0.2))
    assert trace.facts["out_of_time"]
    assert len(trace.steps) <= 8


def test_a_loader_that_can_be_read_once_is_read_once() -> None:
    stream = ((x, y) for x, y in loader())
    trace = Lab(a_setup(loader=stream)).perform(LongRun())
    assert len(trace.pulses) == 8


def test_a_loader_that_raises_ends_the_run_with_a_row() -> None:
    class Broken:
        def __iter__(self) -> Any:
            yield from list(loader())[:3]
            raise OSError("the disk is gone")

    trace = Lab(a_setup(loader=Broken())).perform(LongRun())
    assert len(trace.pulses) == 3
    assert [row.phase for row in trace.exceptions] == ["fetch"]


@pytest.mark.parametrize("loop", [None, train])
def test_what_it_goes_without_is_gone_for_the_run_and_back_afterwards(loop: Any) -> None:
    made = a_setup(train_loop=loop)
    (group,) = made.optimizer.param_groups
    group["weight_decay"] = 50.0
    lab = Lab(made)
    with_decay, without = (
        [row.loss for row in lab.perform(LongRun(num_batches=20, without=change)).pulses]
        for change in ("", "weight decay")
    )
    assert without == pytest.approx(by_hand(len(without)))
    assert with_decay[1:] != pytest.approx(without[1:])
    assert group["weight_decay"] == 50.0


def test_without_its_schedule_the_rate_stays_where_it_begins() -> None:
    made = a_setup()
    made.scheduler = torch.optim.lr_scheduler.ExponentialLR(made.optimizer, 1.5)
    lab = Lab(made)
    held = lab.perform(LongRun(num_batches=10, without="the schedule")).pulses
    assert {row.last_learning_rates for row in held} == {(0.01,)}
    assert [row.loss for row in held] == pytest.approx(by_hand(10))
    assert lab.perform(LongRun(num_batches=10)).pulses[-1].last_learning_rates[0] > 0.1
