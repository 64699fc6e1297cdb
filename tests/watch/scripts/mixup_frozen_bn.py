"""Fine-tuning with mixup (soft targets) while the batch norms of the backbone stay in eval mode."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Backbone(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, stride=2)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, stride=2)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return x.flatten(2).mean(dim=2)


class FineTuned(nn.Module):
    def __init__(self, backbone, num_classes):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(32, num_classes)

    def forward(self, x):
        return self.head(self.backbone(x))

    def train(self, mode=True):
        """The statistics of the batch norms are kept as they are."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def checkers(size, num_classes, seed):
    """Noisy checkerboards; the class is the size of the squares."""
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, num_classes, (size,), generator=g)
    grid = torch.arange(16)
    square = (label + 1)[:, None]
    shift = torch.randint(0, 8, (size, 2), generator=g)
    rows = (grid + shift[:, :1]) // square % 2
    columns = (grid + shift[:, 1:]) // square % 2
    image = 2.0 * (rows[:, :, None] ^ columns[:, None, :]) - 1.0
    return TensorDataset(image[:, None] + 0.5 * torch.randn(size, 1, 16, 16, generator=g), label)


def mixup(x, y, num_classes, alpha=0.4):
    lam = float(np.random.beta(alpha, alpha))
    index = torch.randperm(len(x))
    y = F.one_hot(y, num_classes).float()
    return lam * x + (1 - lam) * x[index], lam * y + (1 - lam) * y[index]


def pretrain(model, loader, epochs=3):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        print(f"pretrain {epoch}: last loss {loss.item():.4f}")


def finetune(model, loader, valid, num_classes, epochs=6):
    optimizer = torch.optim.AdamW(
        [
            {"params": model.backbone.parameters(), "lr": 5e-4},
            {"params": model.head.parameters(), "lr": 1e-2},
        ]
    )
    images, labels = valid.tensors
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            x, target = mixup(x, y, num_classes)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            valid_loss = F.cross_entropy(model(images), labels).item()
        print(f"finetune {epoch}: valid loss {valid_loss:.4f}")


if __name__ == "__main__":
    torch.manual_seed(0)
    np.random.seed(0)
    backbone = Backbone()
    first = nn.Sequential(backbone, nn.Linear(32, 3))
    pretrain(first, DataLoader(checkers(640, 3, seed=0), batch_size=64, shuffle=True))
    loader = DataLoader(checkers(960, 5, seed=1), batch_size=64, shuffle=True)
    finetune(FineTuned(backbone, 5), loader, checkers(320, 5, seed=2), 5)
