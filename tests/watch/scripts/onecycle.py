"""A residual network in miniature with OneCycleLR, stepped after every batch."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm, trange


def conv_block(in_channels, out_channels, pool=False):
    layers = [
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class ResNet(nn.Module):
    def __init__(self, num_classes=5):
        super().__init__()
        self.conv1 = conv_block(3, 16)
        self.conv2 = conv_block(16, 32, pool=True)
        self.res1 = nn.Sequential(conv_block(32, 32), conv_block(32, 32))
        self.classifier = nn.Sequential(
            nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, num_classes)
        )

    def forward(self, xb):
        out = self.conv2(self.conv1(xb))
        out = self.res1(out) + out
        return self.classifier(out)


def textures(size, seed):
    """Coloured textures: the class is the direction and pace of a ripple; colours vary."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 5, (size,), generator=g)
    step = torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.7, 0.7], [0.7, -0.7], [1.3, 0.0]])[labels]
    grid = torch.arange(16.0)
    wave = step[:, :1, None] * grid[None, :, None] + step[:, 1:, None] * grid[None, None, :]
    wave = torch.sin(wave + 6.28 * torch.rand(size, 1, 1, generator=g))
    colour = 0.5 + torch.rand(size, 3, 1, 1, generator=g)
    images = colour * wave[:, None] + 0.8 * torch.randn(size, 3, 16, 16, generator=g)
    return TensorDataset(images, labels)


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    outputs = [(model(x), y) for x, y in loader]
    logits, labels = torch.cat([o for o, _ in outputs]), torch.cat([y for _, y in outputs])
    return F.cross_entropy(logits, labels).item(), (
        logits.argmax(1) == labels
    ).float().mean().item()


def fit_one_cycle(
    epochs, max_lr, model, train_loader, val_loader, weight_decay=1e-4, grad_clip=1.0
):
    history = []
    optimizer = torch.optim.Adam(model.parameters(), max_lr, weight_decay=weight_decay)
    sched = OneCycleLR(optimizer, max_lr, epochs=epochs, steps_per_epoch=len(train_loader))
    for epoch in trange(epochs, desc="epochs"):
        model.train()
        train_losses, lrs = [], []
        for images, labels in tqdm(train_loader, leave=False):
            loss = F.cross_entropy(model(images), labels)
            train_losses.append(loss.detach())
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), grad_clip)
            optimizer.step()
            optimizer.zero_grad()
            lrs.append(optimizer.param_groups[0]["lr"])
            sched.step()
        val_loss, val_acc = evaluate(model, val_loader)
        train_loss = torch.stack(train_losses).mean().item()
        history.append((train_loss, val_loss))
        tqdm.write(
            f"Epoch [{epoch}], last_lr: {lrs[-1]:.5f}, train_loss: {train_loss:.4f}, "
            f"val_loss: {val_loss:.4f}, val_acc: {val_acc:.4f}"
        )
    return history


if __name__ == "__main__":
    torch.manual_seed(0)
    train_loader = DataLoader(textures(640, 0), 32, shuffle=True)
    val_loader = DataLoader(textures(128, 1), 64)
    fit_one_cycle(4, 0.01, ResNet(), train_loader, val_loader)
