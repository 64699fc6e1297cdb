"""Which arm of a three-armed spiral does a point lie on? A small residual perceptron learns it."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

num_classes = 3
num_points = 256
hidden = 64
num_layers = 2
batch_size = 32
epochs = 20
learning_rate = 3e-3
max_grad_norm = 1.0


def spiral():
    """Return x, y and radius of each point (num_points, 3), and its arm (num_points,)."""
    arms = torch.arange(num_points) % num_classes
    radius = torch.rand(num_points)
    angle = 2.5 * radius + arms * 2 * math.pi / num_classes + 0.1 * torch.randn(num_points)
    features = torch.stack([radius * angle.cos(), radius * angle.sin(), radius], dim=1)
    features = (features - features.mean(0)) / features.std(0)
    return features, arms


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(3, hidden)
        self.layers = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(num_layers)])
        self.dropout = nn.Dropout(0.05)
        self.head = nn.Linear(hidden, num_classes)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):  # (batch, 3) -> (batch, num_classes)
        x = F.relu(self.stem(x))
        for layer in self.layers:
            x = x + self.dropout(F.relu(layer(x)))
        return self.head(x)


def loss_fn(outputs, targets):
    return F.cross_entropy(outputs, targets)


def build():
    torch.manual_seed(1337)
    features, labels = spiral()
    dataset = TensorDataset(features, labels)
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)
    model = MLP()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    return model, loader, optimizer


def train_step(model, batch, optimizer):
    inputs, targets = batch
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
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
        "max_grad_norm": max_grad_norm,
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
