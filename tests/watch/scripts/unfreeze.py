"""Transfer learning in stages: the head first, then the last block, then everything."""

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


class Block(nn.Module):
    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, 5, padding=2)
        self.norm = nn.GroupNorm(4, channels_out)

    def forward(self, x):
        return nn.functional.max_pool1d(torch.relu(self.norm(self.conv(x))), 2)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.block1 = Block(1, 16)
        self.block2 = Block(16, 32)
        self.block3 = Block(32, 32)
        self.head = nn.Linear(32, num_classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(x)))
        return self.head(x.mean(dim=2))


def chirps(num_samples, num_classes, seed, reverse=False):
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, num_classes, (num_samples,), generator=g)
    t = torch.linspace(0, 1, 80)
    start = 2.0 + 3.0 * label[:, None]
    phase = 6.28 * (start * t + 4.0 * t**2 + torch.rand(num_samples, 1, generator=g))
    wave = 1.3 * torch.sin(phase) + 0.6 * torch.randn(num_samples, 80, generator=g)
    return TensorDataset((wave.flip(1) if reverse else wave)[:, None], label)


def set_trainable(model, stage):
    """Stage 0 trains the head, stage 1 the last block too, stage 2 everything."""
    model.requires_grad_(stage >= 2)
    model.head.requires_grad_(True)
    if stage >= 1:
        model.block3.requires_grad_(True)


def train_epochs(model, loader, optimizer, epochs, tag):
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        losses = []
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        print(f"{tag} epoch {epoch} trainable {trainable:6d} loss {sum(losses) / len(losses):.4f}")


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Network(num_classes=4)
    source = DataLoader(chirps(768, 4, seed=0), batch_size=64, shuffle=True)
    train_epochs(model, source, optim.Adam(model.parameters(), lr=4e-3), 3, "source")

    model.head = nn.Linear(32, 3)
    target = DataLoader(chirps(768, 3, seed=1, reverse=True), batch_size=32, shuffle=True)
    for stage, lr in enumerate([1e-2, 4e-3, 2e-3]):
        set_trainable(model, stage)
        params = [p for p in model.parameters() if p.requires_grad]
        train_epochs(model, target, optim.Adam(params, lr=lr), 2, f"stage {stage}")
