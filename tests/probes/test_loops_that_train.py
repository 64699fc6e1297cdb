"""Healthy loops of many shapes: no rule that counts batches, passes or steps speaks on them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import traindoctor

COUNTING = ("TD103", "TD301", "TD302", "TD403", "TD404", "TD501", "TD502", "TD513", "TD805")
Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
Loop = Callable[..., None]
LOOPS: list[Loop] = []


def loop(function: Loop) -> Loop:
    LOOPS.append(function)
    return function


def data(num_samples: int = 192, seed: int = 0) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_samples, 8, generator=generator)
    return DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=16, shuffle=True)


def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> None:
    x, y = batch
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


@torch.no_grad()
def evaluated(model: nn.Module, loader: Batches) -> float:
    model.eval()
    losses = [F.cross_entropy(model(x), y).item() for x, y in loader]
    model.train()
    return sum(losses) / len(losses)


@loop
def evaluates_on_its_train_loader(model, loader, optimizer, epochs):
    evaluated(model, loader)
    for _ in range(epochs):
        for batch in loader:
            step(model, batch, optimizer)
        evaluated(model, loader)


@loop
def evaluates_in_the_middle_of_an_epoch(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for index, batch in enumerate(loader):
            step(model, batch, optimizer)
            if index % 4 == 0:
                evaluated(model, loader)


@loop
def evaluates_with_gradients_on(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for batch in loader:
            step(model, batch, optimizer)
        total = 0.0
        for x, y in loader:
            total += F.cross_entropy(model(x), y).item()


@loop
def holds_every_fourth_batch_out(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for index, (x, y) in enumerate(loader):
            if index % 4 == 3:
                with torch.no_grad():
                    F.cross_entropy(model(x), y)
                continue
            step(model, (x, y), optimizer)


@loop
def skips_one_broken_batch(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for index, batch in enumerate(loader):
            if index == 3:
                continue
            step(model, batch, optimizer)


@loop
def skips_batches_by_their_loss(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            if not torch.isfinite(loss) or loss > 5:
                continue
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@loop
def accumulates_with_a_window_cut_short(model, loader, optimizer, epochs):
    for _ in range(epochs):
        optimizer.zero_grad()
        for index, (x, y) in enumerate(loader):
            (F.cross_entropy(model(x), y) / 5).backward()
            if (index + 1) % 5 == 0:
                optimizer.step()
                optimizer.zero_grad()


@loop
def accumulates_and_drops_the_rest(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for index, (x, y) in enumerate(loader):
            (F.cross_entropy(model(x), y) / 4).backward()
            if (index + 1) % 4 == 0 or index + 1 == len(loader):
                optimizer.step()
                optimizer.zero_grad()


@loop
def adds_up_the_losses_of_three_batches(model, loader, optimizer, epochs):
    for _ in range(epochs):
        total = torch.zeros(())
        for index, (x, y) in enumerate(loader):
            total = total + F.cross_entropy(model(x), y)
            if index % 3 == 2:
                optimizer.zero_grad()
                total.backward()
                optimizer.step()
                total = torch.zeros(())


@loop
def warms_up_before_its_first_step(model, loader, optimizer, epochs):
    seen = 0
    for _ in range(epochs):
        for batch in loader:
            seen += 1
            if seen <= 3:
                continue
            step(model, batch, optimizer)


@loop
def warms_up_longer_than_is_seen(model, loader, optimizer, epochs):
    seen, total = 0, 0.0
    for _ in range(epochs):
        for x, y in loader:
            seen += 1
            if seen < 100:
                continue
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()


@loop
def begins_with_the_easy_batches(model, loader, optimizer, epochs):
    for epoch in range(epochs):
        for x, y in loader:
            is_hard = x.abs().mean() > 0.79
            if is_hard and epoch < 5:
                continue
            step(model, (x, y), optimizer)


@loop
def begins_with_half_an_epoch(model, loader, optimizer, epochs):
    for epoch in range(epochs):
        share = min(1.0, 0.5 + 0.1 * epoch)
        for index, batch in enumerate(loader):
            if index >= share * len(loader):
                continue
            step(model, batch, optimizer)


@loop
def pairs_two_loaders(model, loader, optimizer, epochs):
    other = data(64, seed=1)
    for _ in range(epochs):
        for batch, _ in zip(loader, other, strict=False):
            step(model, batch, optimizer)


@loop
def mixes_in_a_second_loader(model, loader, optimizer, epochs):
    other = itertools.cycle(data(64, seed=1))
    for _ in range(epochs):
        for batch in loader:
            step(model, batch, optimizer)
            step(model, next(other), optimizer)


@loop
def keeps_all_batches(model, loader, optimizer, epochs):
    batches = list(loader)
    for _ in range(epochs):
        for batch in batches:
            step(model, batch, optimizer)


@loop
def fetches_two_batches_ahead(model, loader, optimizer, epochs):
    for _ in range(epochs):
        stream = iter(loader)
        ahead = [next(stream), next(stream)]
        while ahead:
            batch, following = ahead.pop(0), next(stream, None)
            if following is not None:
                ahead.append(following)
            step(model, batch, optimizer)


@loop
def gathers_four_batches_for_one_step(model, loader, optimizer, epochs):
    for _ in range(epochs):
        kept = []
        for batch in loader:
            kept.append(batch)
            if len(kept) < 4:
                continue
            step(model, [torch.cat(parts) for parts in zip(*kept, strict=True)], optimizer)
            kept = []


@loop
def looks_at_a_batch_first(model, loader, optimizer, epochs):
    x, _ = next(iter(loader))
    assert x.shape[1] == 8
    for _ in range(epochs):
        for batch in loader:
            step(model, batch, optimizer)


@loop
def steps_twice_on_some_batches(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for index, batch in enumerate(loader):
            step(model, batch, optimizer)
            if index % 5 == 4:
                step(model, batch, optimizer)


@loop
def ends_after_five_steps(model, loader, optimizer, epochs):
    taken = 0
    while taken < 5:
        for batch in loader:
            step(model, batch, optimizer)
            taken += 1
            if taken == 5:
                break


@pytest.mark.parametrize("train_loop", LOOPS, ids=lambda function: function.__name__)
def test_a_loop_that_trains_in_its_own_way_is_left_alone(train_loop: Loop) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    target = {
        "model": model,
        "loader": data(),
        "optimizer": torch.optim.Adam(model.parameters(), 1e-2),
        "train_loop": train_loop,
        "epochs": 5,
    }
    report = traindoctor.check(target, select=COUNTING)
    assert [(f.code, f.message) for f in report.findings if f.severity != "info"] == []
