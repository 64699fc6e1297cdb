"""Forecast an endless sensor stream; the IterableDataset shards itself over workers."""

import itertools
import math
import random

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class SensorStream(IterableDataset):
    """Windows of a drifting oscillation, for ever."""

    def __init__(self, window=48, horizon=8, seed=0):
        self.window = window
        self.horizon = horizon
        self.seed = seed

    def __iter__(self):
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in itertools.count(first, stride):
            rng = random.Random(self.seed * 1_000_003 + number)
            freq, phase = rng.uniform(0.15, 0.45), rng.uniform(0, 2 * math.pi)
            t = torch.arange(self.window + self.horizon, dtype=torch.float32)
            g = torch.Generator().manual_seed(number)
            noise = torch.randn(len(t), generator=g)
            series = 1.4 * torch.sin(freq * t + phase) + 0.05 * noise
            yield series[: self.window], series[self.window :]


class Forecaster(nn.Module):
    def __init__(self, window=48, horizon=8, channels=48):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(1, channels, 7, padding=3),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 7, padding=3, stride=2),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 5, padding=2, stride=2),
            nn.ReLU(),
        )
        self.out = nn.Linear(channels * window // 4, horizon)

    def forward(self, x):
        return self.out(self.conv(x[:, None]).flatten(1))


def train(num_steps=150, batch_size=64):
    torch.manual_seed(0)
    model = Forecaster()
    loader = DataLoader(SensorStream(), batch_size=batch_size, num_workers=0)
    opt = torch.optim.Adam(model.parameters(), lr=2e-3)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=num_steps)
    smooth = None
    for step, (past, future) in enumerate(itertools.islice(loader, num_steps), start=1):
        opt.zero_grad()
        loss = nn.functional.smooth_l1_loss(model(past), future)
        loss.backward()
        opt.step()
        sched.step()
        smooth = loss.item() if smooth is None else 0.9 * smooth + 0.1 * loss.item()
        if step % 15 == 0:
            print(f"step {step:4d} | smoothed loss {smooth:.5f} | lr {sched.get_last_lr()[0]:.2e}")


if __name__ == "__main__":
    train()
