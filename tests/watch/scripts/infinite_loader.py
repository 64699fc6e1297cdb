"""Train for a number of steps, not epochs: the loader is started again whenever it is empty."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_steps", type=int, default=160)
    parser.add_argument("--eval_every", type=int, default=40)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    return parser.parse_args()


def polygons(size, seed):
    """Corner coordinates of noisy regular polygons; the label is the number of corners."""
    g = torch.Generator().manual_seed(seed)
    corners = torch.randint(3, 8, (size,), generator=g)
    t = torch.arange(32) / 32
    side = torch.floor(t * corners[:, None])
    phase = 6.2832 * torch.rand(size, 1, generator=g)
    angle = 6.2832 * side / corners[:, None] + phase
    xy = torch.stack([angle.cos(), angle.sin()], dim=2)
    xy = xy + 0.15 * torch.randn(xy.shape, generator=g)
    return TensorDataset(1.4 * xy, corners - 3)


class PointEncoder(nn.Module):
    def __init__(self, dim=64):
        super().__init__()
        self.lift = nn.Linear(2, dim)
        self.block = nn.TransformerEncoderLayer(dim, 4, 128, dropout=0.1, batch_first=True)
        self.position = nn.Parameter(0.1 * torch.randn(32, dim))
        self.head = nn.Linear(dim, 5)

    def forward(self, xy):
        x = self.block(self.lift(xy) + self.position)
        return self.head(x.mean(dim=1))


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    hits = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    model.train()
    return hits / len(loader.dataset)


def main():
    args = parse_args()
    torch.manual_seed(0)
    loader = DataLoader(polygons(1000, 0), args.batch_size, shuffle=True, drop_last=True)
    valid_loader = DataLoader(polygons(200, 1), 100)
    model = PointEncoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    criterion = nn.CrossEntropyLoss()

    data_iter = iter(loader)
    running = 0.0
    step = 0
    model.train()
    while True:
        try:
            x, y = next(data_iter)
        except StopIteration:
            data_iter = iter(loader)
            x, y = next(data_iter)

        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

        running += loss.item()
        step += 1
        if step % args.eval_every == 0:
            accuracy = evaluate(model, valid_loader)
            print(f"step {step} loss {running / args.eval_every:.4f} accuracy {accuracy:.3f}")
            running = 0.0
        if step >= args.max_steps:
            break


if __name__ == "__main__":
    main()
