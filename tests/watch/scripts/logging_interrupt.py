"""Sentence-pair matching with a bag of embeddings; logs to stderr, stops politely on Ctrl-C."""

import logging
import os
import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    SummaryWriter = None

logging.basicConfig(
    format="%(asctime)s | %(levelname)s | %(name)s | %(message)s",
    datefmt="%H:%M:%S",
    level=os.environ.get("LOGLEVEL", "INFO"),
    stream=sys.stderr,
)
logger = logging.getLogger("pairs")

VOCAB, TOPICS = 240, 12


class PairDataset(Dataset):
    """Two bags of words; the label says whether they are about the same topic."""

    def __init__(self, size, seed):
        g = torch.Generator().manual_seed(seed)
        same = torch.rand(size, generator=g) < 0.5
        first = torch.randint(0, TOPICS, (size,), generator=g)
        shift = torch.randint(1, TOPICS, (size,), generator=g)
        second = torch.where(same, first, (first + shift) % TOPICS)
        words = VOCAB // TOPICS
        self.left = first[:, None] * words + torch.randint(0, words, (size, 9), generator=g)
        self.right = second[:, None] * words + torch.randint(0, words, (size, 9), generator=g)
        self.same = same.float()

    def __len__(self):
        return len(self.same)

    def __getitem__(self, i):
        return self.left[i], self.right[i], self.same[i]


class PairModel(nn.Module):
    def __init__(self, dim=96):
        super().__init__()
        self.bag = nn.EmbeddingBag(VOCAB, dim, mode="mean")
        self.mlp = nn.Sequential(nn.Linear(4 * dim, 128), nn.ReLU(), nn.Linear(128, 1))

    def forward(self, left, right):
        u, v = self.bag(left), self.bag(right)
        return self.mlp(torch.cat([u, v, u * v, (u - v).abs()], dim=1)).squeeze(1)


class Meter:
    def __init__(self):
        self.total, self.count = 0.0, 0

    def update(self, value, n):
        self.total += value * n
        self.count += n

    @property
    def average(self):
        return self.total / max(self.count, 1)


def train(model, loader, optimizer, epochs, writer=None):
    criterion = nn.BCEWithLogitsLoss()
    step = 0
    for epoch in range(epochs):
        model.train()
        meter, start = Meter(), time.time()
        for left, right, same in loader:
            optimizer.zero_grad()
            loss = criterion(model(left, right), same)
            loss.backward()
            optimizer.step()
            step += 1
            meter.update(loss.item(), same.numel())
            if writer is not None:
                writer.add_scalar("train/loss", loss.item(), step)
            if step % 25 == 0:
                logger.debug("step %d loss %.4f", step, loss.item())
        logger.info("epoch %d | loss %.4f | %.2f s", epoch, meter.average, time.time() - start)


def main():
    torch.manual_seed(2024)
    if SummaryWriter is None:
        logger.warning("tensorboard is not installed, no curves are written")
    writer = SummaryWriter("runs/pairs") if SummaryWriter else None
    loader = DataLoader(PairDataset(2560, seed=0), batch_size=64, shuffle=True)
    model = PairModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    try:
        train(model, loader, optimizer, epochs=8, writer=writer)
    except KeyboardInterrupt:
        logger.warning("interrupted, the weights so far are kept")
    torch.save(model.state_dict(), "pairs.pt")
    logger.info("saved to %s", os.path.abspath("pairs.pt"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
