"""Two processes train one model with DistributedDataParallel, started by torch.multiprocessing."""

import os
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def modular(n=1920, modulus=11):
    """Sums modulo eleven of two digits as one-hot vectors."""
    g = torch.Generator().manual_seed(0)
    a = torch.randint(0, modulus, (n, 2), generator=g)
    x = nn.functional.one_hot(a, modulus).float().flatten(1)
    return TensorDataset(x, a.sum(dim=1) % modulus)


def train(rank, world_size, store):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    dataset = modular()
    sampler = DistributedSampler(dataset, world_size, rank, seed=7)
    loader = DataLoader(dataset, batch_size=48, sampler=sampler)
    model = DDP(nn.Sequential(nn.Linear(22, 256), nn.ReLU(), nn.Linear(256, 11)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for epoch in range(6):
        sampler.set_epoch(epoch)
        total = torch.zeros(())
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        dist.all_reduce(total)
        if rank == 0:
            print(f"epoch {epoch} loss {total.item() / len(loader) / world_size:.4f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(train, args=(2, os.path.join(folder, "store")), nprocs=2, join=True)
