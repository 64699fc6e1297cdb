"""Odd setups that are no fault: lazy, compiled, sparse, complex, endless."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

import traindoctor
from traindoctor.experiments import Lab, ShortRun
from traindoctor.target.setup import TrainingSetup


def batches(number: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(8, 4, generator=generator) for _ in range(number)]
    return [(x, (x.sum(1) > 0).long()) for x in inputs]


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(4, 8, dtype=torch.complex64) * 0.5)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x.to(torch.complex64) @ self.mix).abs())


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(2))


@pytest.mark.parametrize(
    ("model", "loader"),
    [(lazy, batches()), (Complex, batches()), (net, itertools.cycle(batches()))],
    ids=["lazy", "complex", "endless"],
)
def test_an_odd_setup_is_examined_and_healthy(model: Any, loader: Any) -> None:
    torch.manual_seed(0)
    target = {"model": model(), "loader": loader, "loss_fn": nn.CrossEntropyLoss()}
    report = traindoctor.check(target)
    assert [(f.code, f.title) for f in report.findings] == []
    assert report.verdict == "healthy"


def test_a_compiled_model_runs_as_it_is_written_with_all_its_modules_seen() -> None:
    setup = TrainingSetup(
        model=torch.compile(net()), loader=batches(), loss_fn=nn.CrossEntropyLoss()
    )
    trace = Lab(setup).perform(ShortRun())
    assert len(trace.steps) == 6
    assert all(row.num_calls == 6 for row in trace.modules)
    assert not torch.compiler.is_compiling()
