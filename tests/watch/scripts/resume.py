"""Train, save a checkpoint, and go on from it as a fresh start of the program would."""

import argparse
import os
import tempfile

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--stop-after", type=int, default=4, help="epochs before the interruption")
parser.add_argument("--lr", type=float, default=0.02)
parser.add_argument("--momentum", type=float, default=0.9)
args = parser.parse_args()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(32, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()
        )
        self.head = nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.body(x))


def make_data():
    g = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 32, generator=g)
    labels = torch.randint(0, 10, (2000,), generator=g)
    points = centres[labels] + 1.2 * torch.randn(2000, 32, generator=g)
    return TensorDataset((points - points.mean(0)) / points.std(0), labels)


def build():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[5, 7], gamma=0.3)
    return model, optimizer, scheduler


def save_checkpoint(path, epoch, model, optimizer, scheduler):
    torch.save(
        {
            "epoch": epoch,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
        },
        path,
    )


def load_checkpoint(path, model, optimizer, scheduler):
    checkpoint = torch.load(path, weights_only=True)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    print(f"=> loaded checkpoint (epoch {checkpoint['epoch']})")
    return checkpoint["epoch"] + 1


def train(path, last_epoch, loader):
    model, optimizer, scheduler = build()
    start_epoch = 0
    if os.path.isfile(path):
        start_epoch = load_checkpoint(path, model, optimizer, scheduler)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(start_epoch, last_epoch):
        model.train()
        running = 0.0
        for x, y in loader:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item()
        scheduler.step()
        print(
            f"Epoch {epoch}: loss {running / len(loader):.4f} lr {scheduler.get_last_lr()[0]:.4f}"
        )
        save_checkpoint(path, epoch, model, optimizer, scheduler)


torch.manual_seed(0)
loader = DataLoader(make_data(), batch_size=100, shuffle=True)
with tempfile.TemporaryDirectory() as folder:
    checkpoint_path = os.path.join(folder, "checkpoint.pt")
    train(checkpoint_path, args.stop_after, loader)
    train(checkpoint_path, args.epochs, loader)
