"""Three interleaved spirals and a small MLP, as a notebook would have it."""

import math

import torch
from torch import nn

torch.manual_seed(1)

classes, points = 3, 600
turn = torch.linspace(0.1, 1.0, points)
arms = []
for k in range(classes):
    angle = 2 * math.pi * (turn * 1.25 + k / classes) + 0.12 * torch.randn(points)
    arms.append(torch.stack([turn * angle.cos(), turn * angle.sin()], dim=1))
X = torch.cat(arms)
X = (X - X.mean(0)) / X.std(0)
y = torch.arange(classes).repeat_interleave(points)

# keep every fifth point for testing
order = torch.randperm(len(X))
test_idx, train_idx = order[: len(X) // 5], order[len(X) // 5 :]
X_train, y_train = X[train_idx], y[train_idx]
X_test, y_test = X[test_idx], y[test_idx]

model = nn.Sequential(
    nn.Linear(2, 256),
    nn.ReLU(),
    nn.Linear(256, 256),
    nn.ReLU(),
    nn.Linear(256, classes),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

batch_size = 96
losses = []
for epoch in range(40):
    perm = torch.randperm(len(X_train))
    running = 0.0
    num_batches = 0
    for start in range(0, len(X_train), batch_size):
        idx = perm[start : start + batch_size]
        logits = model(X_train[idx])
        loss = criterion(logits, y_train[idx])

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        running += loss.item()
        num_batches += 1
    losses.append(running / num_batches)
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1:3d}  train loss {losses[-1]:.4f}")

model.eval()
with torch.no_grad():
    accuracy = (model(X_test).argmax(1) == y_test).float().mean().item()
print(f"test accuracy {100 * accuracy:.1f}%")
