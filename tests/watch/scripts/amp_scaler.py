"""Mixed precision: autocast, a GradScaler, unscaled clipping and accumulation."""

import argparse
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Mixer(nn.Module):
    """Tokens and channels are mixed in turn; patches of a 16 x 16 picture."""

    def __init__(self, patches=16, dim=64, classes=6):
        super().__init__()
        self.embed = nn.Conv2d(1, dim, kernel_size=4, stride=4)
        self.token_norm = nn.LayerNorm(dim)
        self.token_mix = nn.Sequential(nn.Linear(patches, 32), nn.GELU(), nn.Linear(32, patches))
        self.channel_norm = nn.LayerNorm(dim)
        self.channel_mix = nn.Sequential(nn.Linear(dim, 128), nn.GELU(), nn.Linear(128, dim))
        self.head = nn.Linear(dim, classes)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = x + self.token_mix(self.token_norm(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channel_mix(self.channel_norm(x))
        return self.head(x.mean(dim=1))


def gratings(num_samples, seed):
    """Striped pictures; the class is the direction of the stripes."""
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 6, (num_samples,), generator=g)
    angle = label * (torch.pi / 6)
    phase = 6.28 * torch.rand(num_samples, generator=g)
    grid = torch.arange(16.0)
    wave = (
        angle.cos()[:, None, None] * grid[None, None, :]
        + angle.sin()[:, None, None] * grid[:, None]
    )
    image = torch.sin(1.1 * wave + phase[:, None, None])[:, None] * 1.3
    return TensorDataset(image + 1.2 * torch.randn(image.shape, generator=g), label)


def evaluate(model, loader):
    model.eval()
    correct = 0
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for image, label in loader:
            correct += (model(image).argmax(1) == label).sum().item()
    return correct / len(loader.dataset)


def main(args):
    torch.manual_seed(0)
    train_loader = DataLoader(
        gratings(1536, 0), batch_size=args.batch_size, shuffle=True, drop_last=True
    )
    test_loader = DataLoader(gratings(256, 1), batch_size=256)
    model = Mixer()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)

    for epoch in range(args.epochs):
        model.train()
        start = time.perf_counter()
        running_loss = 0.0
        optimizer.zero_grad()
        for i, (image, label) in enumerate(train_loader):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = criterion(model(image), label)
            scaler.scale(loss / args.accumulate).backward()
            running_loss += loss.item()

            if (i + 1) % args.accumulate == 0:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        seconds = time.perf_counter() - start
        print(
            f"Epoch {epoch}: loss={running_loss / len(train_loader):.4f} "
            f"test_acc={evaluate(model, test_loader):.3f} scale={scaler.get_scale():.0f} "
            f"({seconds:.2f}s)"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--lr", type=float, default=4e-3)
    main(parser.parse_args())
