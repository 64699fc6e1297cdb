"""DistributedDataParallel; without torchrun it runs as a group of one.

torchrun --nproc_per_node=2 ddp_gloo.py
"""

import os
import socket

import torch
import torch.distributed as dist
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def setup():
    if "RANK" not in os.environ:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        os.environ.update(RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo")
    return dist.get_rank(), dist.get_world_size()


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(2, 24, 5, stride=2), nn.ReLU(), nn.Conv1d(24, 32, 5, stride=2), nn.ReLU()
        )
        self.fc = nn.Linear(32 * 13, 4)

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


def trajectories(n):
    """Planar paths of four kinds."""
    kind = torch.randint(0, 4, (n,))
    t = torch.linspace(0, 1, 64)
    turns = torch.tensor([0.5, 1.0, 1.5, 2.0])[kind][:, None]
    angle = 6.28 * (turns * t + torch.rand(n, 1))
    path = torch.stack([angle.cos(), angle.sin()], dim=1) * (0.6 + 0.4 * torch.rand(n, 1, 1))
    return TensorDataset(1.5 * path + 0.4 * torch.randn(n, 2, 64), kind)


def main():
    rank, world_size = setup()
    torch.manual_seed(0)
    dataset = trajectories(1280)
    sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank, shuffle=True)
    loader = DataLoader(dataset, batch_size=64, sampler=sampler)
    model = DDP(ConvNet())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(6):
        sampler.set_epoch(epoch)
        model.train()
        total = torch.zeros(())
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        dist.all_reduce(total)
        if rank == 0:
            print(f"epoch {epoch} loss {total.item() / len(loader) / world_size:.4f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
