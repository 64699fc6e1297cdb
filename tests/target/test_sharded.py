"""A model whose parameters are spread by `fully_shard` comes back and goes on training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn

from traindoctor.target.setup import TrainingSetup
from traindoctor.target.snapshot import Snapshot


@pytest.fixture
def alone() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_gathered_parameters_are_spread_again() -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (1,))
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    x = torch.randn(4, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    snapshot = Snapshot.take(TrainingSetup(model=model, loader=[], optimizer=optimizer))
    before = [p.to_local().clone() for p in model.parameters()]
    for _ in range(2):
        with torch.no_grad():
            model(x)  # leaves the root's parameters gathered
        snapshot.restore()
        model(x).sum().backward()
        optimizer.step()
        snapshot.restore()
        assert all(map(torch.equal, (p.to_local() for p in model.parameters()), before))
