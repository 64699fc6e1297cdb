"""Tell squares, crosses and rings apart with a small residual convolutional network."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

num_classes = 3
num_images = 256
size = 16
channels = 16
num_blocks = 2
batch_size = 32
epochs = 10
learning_rate = 0.05


def draw(kind, generator):
    """Draw one outline on a noisy canvas (1, size, size), somewhere and of some size."""
    center = torch.randint(5, 11, (2,), generator=generator)
    radius = torch.randint(3, 6, (), generator=generator)
    down = (torch.arange(size) - center[0]).abs()[:, None]
    right = (torch.arange(size) - center[1]).abs()[None, :]
    shapes = [
        torch.maximum(down, right) == radius,
        (torch.minimum(down, right) == 0) & (torch.maximum(down, right) <= radius),
        ((down**2 + right**2).sqrt() - radius).abs() < 0.6,
    ]
    return shapes[kind].float()[None] + 0.1 * torch.randn(1, size, size, generator=generator)


class Shapes(Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(1337)
        self.labels = torch.randint(num_classes, (num_images,), generator=generator)
        self.images = torch.stack([draw(kind, generator) for kind in self.labels.tolist()])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        label = self.labels[index]
        return {"pixel_values": image, "labels": label}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(x + self.norm(self.conv(x)))


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, kernel_size=3, stride=2, padding=1)
        self.blocks = nn.ModuleList([Block() for _ in range(num_blocks)])
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pixel_values):  # (batch, 1, size, size) -> (batch, num_classes)
        x = F.relu(self.stem(pixel_values))
        for block in self.blocks:
            x = block(x)
        features = x.mean(dim=(2, 3))
        return self.head(features)


def loss_fn(outputs, batch):
    return F.cross_entropy(outputs, batch["labels"])


def build():
    torch.manual_seed(1337)
    loader = DataLoader(Shapes(), batch_size=batch_size, shuffle=True, drop_last=True)
    model = CNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    return model, loader, optimizer


def train_step(model, batch, optimizer):
    optimizer.zero_grad()
    outputs = model(batch["pixel_values"])
    loss = loss_fn(outputs, batch)
    loss.backward()
    optimizer.step()
    return loss


def train_loop(model, loader, optimizer, epochs):
    model.train()
    for epoch in range(epochs):
        for batch in loader:
            loss = train_step(model, batch, optimizer)
        print(f"epoch {epoch}: loss {loss.item():.4f}")


def setup():
    model, loader, optimizer = build()
    return {
        "model": model,
        "loader": loader,
        "optimizer": optimizer,
        "loss_fn": loss_fn,
        "epochs": epochs,
    }


def setup_step():
    model, loader, optimizer = build()
    return {
        "model": model,
        "loader": loader,
        "optimizer": optimizer,
        "train_step": train_step,
    }


def setup_loop():
    model, loader, optimizer = build()
    return {
        "model": model,
        "loader": loader,
        "optimizer": optimizer,
        "train_loop": train_loop,
        "epochs": epochs,
    }


if __name__ == "__main__":
    train_loop(*build(), epochs)
