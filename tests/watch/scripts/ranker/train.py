"""Command line of the ranker."""

import argparse

import torch
from torch.utils.data import DataLoader

from .data import Interactions
from .model import Factors, bpr_loss


def train_one_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for user, liked, other in loader:
        loss = bpr_loss(model(user, liked), model(user, other))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="ranker")
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=200)
    args = parser.parse_args(argv)

    torch.manual_seed(0)
    data = Interactions()
    loader = DataLoader(data, batch_size=args.batch_size, shuffle=True)
    model = Factors(data.num_users, data.num_items, args.dim)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        print(f"epoch {epoch} bpr loss {train_one_epoch(model, loader, optimizer):.4f}")


if __name__ == "__main__":
    main()
