"""A user's own step is left to do what it does; the loop does the rest and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from traindoctor.experiments import Lab, ShortRun
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace


def only_loss(model: Any, batch: Any) -> torch.Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def everything(model: Any, batch: Any, optimizer: Any) -> float:
    optimizer.zero_grad()
    loss = only_loss(model, batch)
    loss.backward()
    optimizer.step()
    return loss.item()


def returning_nothing(model: Any, batch: Any, optimizer: Any) -> None:
    everything(model, batch, optimizer)


def returning_more(model: Any, batch: Any, optimizer: Any) -> dict[str, Any]:
    return {"loss": everything(model, batch, optimizer), "accuracy": 0.5}


def differentiating_twice(model: Any, batch: Any, optimizer: Any) -> None:
    everything(model, batch, optimizer)
    everything(model, batch, optimizer)


def by_hand(model: Any, batch: Any) -> torch.Tensor:
    loss = only_loss(model, batch)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    with torch.no_grad():
        for p, gradient in zip(model.parameters(), gradients, strict=True):
            p.sub_(0.1 * gradient)
    return loss


def with_penalty(model: Any, batch: Any) -> torch.Tensor:
    x = batch[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return only_loss(model, batch) + slope.pow(2).mean()


def run(train_step: Any, **more: Any) -> Trace:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    loader = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(6)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    setup = TrainingSetup(
        model=model, loader=loader, optimizer=optimizer, train_step=train_step, **more
    )
    return Lab(setup).perform(ShortRun())


@pytest.mark.parametrize(
    ("train_step", "num_backwards", "num_steps"),
    [(only_loss, 6, 6), (everything, 6, 6), (by_hand, 0, 0), (with_penalty, 6, 6)],
)
def test_each_kind_of_step_is_taken_once_a_batch(
    train_step: Any, num_backwards: int, num_steps: int
) -> None:
    trace = run(train_step)
    assert trace.exceptions == ()
    assert (len(trace.backwards), len(trace.steps)) == (num_backwards, num_steps)
    assert len(trace.losses) == 6
    assert set(trace.facts["moved"]) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("train_step", "expected"),
    [(returning_nothing, 6), (returning_more, 6), (differentiating_twice, 0)],
)
def test_a_loss_that_is_not_returned_alone(train_step: Any, expected: int) -> None:
    trace = run(train_step)
    assert len(trace.losses) == expected
    assert [row.value for row in trace.losses] == [row.loss for row in trace.backwards][:expected]


def test_a_loop_that_never_ends_is_ended_and_one_with_few_batches_is_not_cut() -> None:
    seen: list[int] = []

    def forever(model: Any, loader: Any, optimizer: Any) -> None:
        while True:
            for batch in loader:
                seen.append(1)
                everything(model, batch, optimizer)

    trace = run(None, train_loop=forever)
    assert trace.exceptions == ()
    assert len(seen) == len(trace.steps) == 12


def test_a_loop_that_reaches_for_its_own_name_of_the_loader_is_bounded_too() -> None:
    data = torch.utils.data.TensorDataset(torch.randn(800, 3), torch.randn(800, 1))
    mine = torch.utils.data.DataLoader(data, batch_size=8)
    model = nn.Linear(3, 1)

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for batch in mine:
            everything(model, batch, optimizer)

    setup = TrainingSetup(model=model, loader=mine, train_loop=train)
    trace = Lab(setup).perform(ShortRun())
    assert len(trace.steps) == 6
    assert torch.utils.data.DataLoader.__iter__.__module__ == "torch.utils.data.dataloader"


class Picky(nn.Linear):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x * mask)


def test_a_forward_that_refuses_its_arguments_is_named_where_it_is_defined() -> None:
    model = Picky(3, 1)
    setup = TrainingSetup(model=model, loader=[(torch.ones(2, 3),)], loss_fn=F.mse_loss)
    line = Picky.forward.__code__.co_firstlineno
    assert f"{__file__}:{line}: " in Lab(setup).perform(ShortRun()).raised
