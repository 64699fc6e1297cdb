"""Five-fold cross-validation: five models, one after the other, in one process."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset


def make_table(n=1200):
    x = torch.randn(n, 12)
    y = 2 * x[:, 0] - x[:, 1] * x[:, 2] + torch.where(x[:, 3] > 0, 1.5, -0.5)
    y = y + 0.3 * torch.randn(n)
    return TensorDataset(x, ((y - y.mean()) / y.std())[:, None])


def make_model():
    return nn.Sequential(
        nn.Linear(12, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1)
    )


def folds(n, k, seed=0):
    order = np.random.RandomState(seed).permutation(n)
    parts = np.array_split(order, k)
    for i in range(k):
        train = np.concatenate([part for j, part in enumerate(parts) if j != i])
        yield train.tolist(), parts[i].tolist()


def train_fold(model, loader, epochs):
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5)
    criterion = nn.MSELoss()
    history = []
    model.train()
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        history.append(total / len(loader))
    return history


def score(model, loader):
    model.eval()
    with torch.no_grad():
        return np.mean([nn.functional.mse_loss(model(x), y).item() for x, y in loader])


if __name__ == "__main__":
    torch.manual_seed(0)
    dataset = make_table()
    scores = []
    for fold, (train_ids, test_ids) in enumerate(folds(len(dataset), k=5)):
        model = make_model()
        train_loader = DataLoader(Subset(dataset, train_ids), batch_size=48, shuffle=True)
        test_loader = DataLoader(Subset(dataset, test_ids), batch_size=120)
        history = train_fold(model, train_loader, epochs=8)
        scores.append(score(model, test_loader))
        print(
            f"fold {fold}: first loss {history[0]:.4f} last loss {history[-1]:.4f} "
            f"test {scores[-1]:.4f}"
        )
    print(f"cross-validated error {np.mean(scores):.4f} +- {np.std(scores):.4f}")
