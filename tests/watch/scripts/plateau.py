"""Early stopping and ReduceLROnPlateau; the best weights are written to disk and read again."""

import os
import tempfile

import numpy as np
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


class EarlyStopping:
    """Stops when the validation loss has not improved for some epochs; keeps the best model."""

    def __init__(self, patience=5, delta=0.0, path="checkpoint.pt"):
        self.patience = patience
        self.delta = delta
        self.path = path
        self.counter = 0
        self.best_score = None
        self.early_stop = False

    def __call__(self, val_loss, model):
        score = -val_loss
        if self.best_score is None or score > self.best_score + self.delta:
            self.best_score = score
            self.counter = 0
            torch.save(model.state_dict(), self.path)
        else:
            self.counter += 1
            print(f"EarlyStopping counter: {self.counter} out of {self.patience}")
            self.early_stop = self.counter >= self.patience


class LSTMClassifier(nn.Module):
    def __init__(self, input_dim=3, hidden_dim=48, num_classes=3):
        super().__init__()
        self.lstm = nn.LSTM(input_dim, hidden_dim, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.fc = nn.Linear(hidden_dim, num_classes)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.fc(self.dropout(h[-1]))


def gestures(num_samples, rng):
    """Accelerometer-like series of three kinds."""
    label = rng.integers(0, 3, num_samples)
    t = np.linspace(0, 1, 25)
    rate = np.array([1.0, 2.0, 3.0])[label] + rng.normal(0, 0.25, num_samples)
    phase = rng.uniform(0, 2 * np.pi, (num_samples, 3))
    series = np.sin(2 * np.pi * rate[:, None, None] * t[None, :, None] + phase[:, None, :])
    series = 1.3 * (series + rng.normal(0, 0.4, series.shape))
    return TensorDataset(torch.tensor(series, dtype=torch.float32), torch.tensor(label))


def train_model(model, train_loader, valid_loader, patience, n_epochs, folder):
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=1)
    criterion = nn.CrossEntropyLoss()
    early_stopping = EarlyStopping(patience, path=os.path.join(folder, "checkpoint.pt"))
    for epoch in range(1, n_epochs + 1):
        train_losses, valid_losses = [], []
        model.train()
        for data, target in train_loader:
            optimizer.zero_grad()
            output = model(data)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
            train_losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            for data, target in valid_loader:
                valid_losses.append(criterion(model(data), target).item())
        train_loss, valid_loss = np.average(train_losses), np.average(valid_losses)
        print(
            f"[{epoch:>3}/{n_epochs:>3}] train_loss: {train_loss:.5f} valid_loss: {valid_loss:.5f}"
        )
        scheduler.step(valid_loss)
        early_stopping(valid_loss, model)
        if early_stopping.early_stop:
            print("Early stopping")
            break
    model.load_state_dict(torch.load(early_stopping.path, weights_only=True))
    return model


if __name__ == "__main__":
    torch.manual_seed(10)
    rng = np.random.default_rng(10)
    train_loader = DataLoader(gestures(320, rng), batch_size=32, shuffle=True)
    valid_loader = DataLoader(gestures(192, rng), batch_size=64)
    with tempfile.TemporaryDirectory() as folder:
        train_model(LSTMClassifier(), train_loader, valid_loader, 4, 40, folder)
