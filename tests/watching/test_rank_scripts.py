"""Programs of several processes: those that share work in unusual ways are healthy, others not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.watched import watched

PROGRAM = """
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

torch.set_num_threads(1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.head = nn.Linear(32, 2)

    def forward(self, x):
        return self.head(self.body(x))

dist.init_process_group("gloo")
rank, world_size = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
labels = torch.randint(2, (640,))
angles, radii = 6.283 * torch.rand(640), 0.5 + 0.7 * labels + 0.1 * torch.randn(640)
points = torch.stack([radii * angles.cos(), radii * angles.sin()], dim=1)
sampler = DistributedSampler(TensorDataset(points, labels))
loader = DataLoader(sampler.dataset, batch_size=32, sampler=sampler)
{model}
for epoch in range(4):
    sampler.set_epoch(epoch)
    for number, (x, y) in enumerate(loader):
{step}
dist.destroy_process_group()
"""
MODEL = """
model = DistributedDataParallel(Net())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
"""
ALONE = MODEL.replace("DistributedDataParallel(Net())", "Net()")
STEP = """
optimizer.zero_grad()
nn.functional.cross_entropy(model(x), y).backward()
optimizer.step()
"""
AVERAGE = """
for p in model.parameters():
    dist.all_reduce(p.grad)
    p.grad /= world_size
"""
FLAT = """
flat = torch.cat([p.grad.flatten() for p in model.parameters()])
dist.all_reduce(flat)
offset = 0
for p in model.parameters():
    p.grad.copy_(flat[offset : offset + p.numel()].view_as(p) / world_size)
    offset += p.numel()
"""
LOCAL = """
if number % 3 == 2:
    for p in model.parameters():
        dist.all_reduce(p.data)
        p.data /= world_size
"""
ACCUMULATED = """
from contextlib import nullcontext
with model.no_sync() if number % 2 == 0 else nullcontext():
    (nn.functional.cross_entropy(model(x), y) / 2).backward()
if number % 2 == 1:
    optimizer.step()
    optimizer.zero_grad()
"""
AT_ONCE = """
works = [dist.all_reduce(p.grad, async_op=True) for p in model.parameters()]
for work in works:
    work.wait()
for p in model.parameters():
    p.grad /= world_size
"""
MEAN_GRADIENT = """
mean = torch.cat([p.grad.flatten() for p in model.parameters()])
dist.all_reduce(mean)
"""
GATHERED = """
parts = [torch.empty(1) for _ in range(world_size)]
dist.all_gather(parts, x.sum()[None])
"""
STAYS_FLAT = FLAT.partition("offset = 0")[0]
SEEDS = "torch.manual_seed(rank)\n" + ALONE
OWN_HEAD = """
model = DistributedDataParallel(Net())
torch.manual_seed(rank)
mine = nn.Linear(2, 2)
optimizer = torch.optim.AdamW([*model.parameters(), *mine.parameters()], lr=1e-2)
"""
LATE_HEAD = """
model = DistributedDataParallel(Net())
model.module.head = nn.Linear(32, 2)
for p in model.module.head.parameters():
    nn.init.zeros_(p)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
"""
ZERO = """
from torch.distributed.optim import ZeroRedundancyOptimizer
model = DistributedDataParallel(Net())
optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.AdamW, lr=1e-2)
"""
SHARDED = """
from torch.distributed.fsdp import fully_shard
model = fully_shard(Net())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
"""
ACCELERATE = """
from accelerate import Accelerator
accelerator = Accelerator(cpu=True)
plain = DataLoader(sampler.dataset, batch_size=32, shuffle=True)
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
model, optimizer, loader = accelerator.prepare(model, optimizer, plain)
"""
BY_ACCELERATE = """
optimizer.zero_grad()
accelerator.backward(nn.functional.cross_entropy(model(x), y))
optimizer.step()
"""
FIRST = STEP.partition("optimizer.step()")[0]
HEALTHY = {
    "accumulated": (MODEL, ACCUMULATED),
    "averaged by hand": (ALONE, FIRST + AVERAGE + "optimizer.step()\n"),
    "averaged by hand in one": (ALONE, FIRST + FLAT + "optimizer.step()\n"),
    "averaged by hand at once": (ALONE, FIRST + AT_ONCE + "optimizer.step()\n"),
    "the mean gradient is looked at": (MODEL, FIRST + MEAN_GRADIENT + "optimizer.step()\n"),
    "trainings of their own, whose mean gradient is looked at": (
        SEEDS,
        FIRST + MEAN_GRADIENT + "optimizer.step()\n",
    ),
    "inputs that are gathered": (MODEL, STEP + GATHERED),
    "local steps, weights averaged": (ALONE, STEP + LOCAL),
    "trainings of their own": (SEEDS, STEP),
    "a head of its own": (OWN_HEAD, STEP.replace("model(x)", "model(x) + mine(x)")),
    "optimizer state in shards": (ZERO, STEP),
    "parameters in shards": (SHARDED, STEP),
    "accelerate": (ACCELERATE, BY_ACCELERATE),
}
SICK = {
    "no_sync left on": (
        MODEL,
        "from contextlib import ExitStack\nwith model.no_sync():\n"
        + "".join(f"    {line}\n" for line in STEP.strip().splitlines()),
        "TD903",
    ),
    "no wrapper": (ALONE, STEP, "TD903"),
    "a head that came after the wrapper": (LATE_HEAD, STEP, "TD903"),
    "averaged in one, which stays there": (
        ALONE,
        FIRST + STAYS_FLAT + "optimizer.step()\n",
        "TD908",
    ),
    "weights are sent into copies": (
        SEEDS + "for p in model.parameters():\n    dist.broadcast(p.detach().clone(), 0)\n",
        FIRST + AVERAGE + "optimizer.step()\n",
        "TD908",
    ),
    "gathered into one tensor": (
        MODEL,
        STEP
        + GATHERED.replace(
            "[torch.empty(1) for _ in range(world_size)]", "[torch.empty(1)] * world_size"
        ),
        "TD908",
    ),
    "a rate of its own": (MODEL + "optimizer.param_groups[0]['lr'] *= 1 + rank\n", STEP, "TD902"),
    "weights loaded on one rank": (
        MODEL + "if rank == 1:\n    nn.init.zeros_(model.module.head.weight)\n",
        STEP,
        "TD902",
    ),
}


def reported(folder: Path, model: str, step: str, number: int = 2) -> dict[str, Any]:
    """Return the report on a program of these parts."""
    lines = "".join(f"        {line}\n" for line in step.strip().splitlines())
    (folder / "script.py").write_text(PROGRAM.format(model=model, step=lines))
    path = watched("script.py", folder, "--nproc", str(number))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_ranks_that_share_work_in_an_unusual_way_are_healthy(tmp_path: Path, name: str) -> None:
    report = reported(tmp_path, *HEALTHY[name])
    told = [(f["code"], f["message"]) for f in report["findings"] if f["severity"] != "info"]
    assert (told, report["verdict"]) == ([], "healthy")


@pytest.mark.slow
@pytest.mark.parametrize("name", SICK)
def test_what_is_wrong_between_ranks_is_the_one_root_cause(tmp_path: Path, name: str) -> None:
    model, step, code = SICK[name]
    report = reported(tmp_path, model, step)
    loud = [f for f in report["findings"] if f["severity"] != "info"]
    assert [f["code"] for f in loud if f["role"] == "root-cause"] == [code]


@pytest.mark.slow
def test_four_ranks_are_compared(tmp_path: Path) -> None:
    report = reported(tmp_path, MODEL, STEP, number=4)
    assert (report["verdict"], report["target"]["distributed"]["ranks"]) == (
        "healthy",
        [0, 1, 2, 3],
    )
