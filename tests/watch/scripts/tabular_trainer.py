"""Predict a sensor reading from a table; a trainer class with early stopping."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split


@dataclass
class Config:
    num_features: int = 24
    hidden: int = 192
    dropout: float = 0.1
    lr: float = 1e-3
    weight_decay: float = 1e-2
    batch_size: int = 128
    max_epochs: int = 25
    patience: int = 4
    seed: int = 7


class Regressor(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(config.num_features, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)


class Trainer:
    def __init__(self, model: nn.Module, config: Config, train_loader, valid_loader):
        self.model = model
        self.config = config
        self.train_loader = train_loader
        self.valid_loader = valid_loader
        self.criterion = nn.MSELoss()
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        self.best_loss = float("inf")
        self.best_state = None
        self.bad_epochs = 0

    def train_epoch(self) -> float:
        self.model.train()
        total, count = 0.0, 0
        for x, y in self.train_loader:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.criterion(self.model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self.optimizer.step()
            total += loss.item() * len(x)
            count += len(x)
        return total / count

    @torch.no_grad()
    def validate(self) -> float:
        self.model.eval()
        total, count = 0.0, 0
        for x, y in self.valid_loader:
            total += self.criterion(self.model(x), y).item() * len(x)
            count += len(x)
        return total / count

    def fit(self) -> None:
        for epoch in range(self.config.max_epochs):
            train_loss = self.train_epoch()
            valid_loss = self.validate()
            print(f"[{epoch:02d}] train={train_loss:.4f} valid={valid_loss:.4f}")
            if valid_loss < self.best_loss - 1e-4:
                self.best_loss = valid_loss
                self.best_state = copy.deepcopy(self.model.state_dict())
                self.bad_epochs = 0
            else:
                self.bad_epochs += 1
                if self.bad_epochs >= self.config.patience:
                    print(f"early stopping at epoch {epoch}")
                    break
        self.model.load_state_dict(self.best_state)
        print(f"best valid={self.best_loss:.4f}, again valid={self.validate():.4f}")


def readings(config: Config, num_samples: int = 3000) -> TensorDataset:
    x = torch.randn(num_samples, config.num_features)
    y = x[:, 0] * x[:, 1] + torch.sin(2 * x[:, 2]) + 0.5 * x[:, 3] + 0.2 * torch.randn(num_samples)
    return TensorDataset(x, (y - y.mean()) / y.std())


if __name__ == "__main__":
    config = Config()
    torch.manual_seed(config.seed)
    train_set, valid_set = random_split(readings(config), [2560, 440])
    trainer = Trainer(
        Regressor(config),
        config,
        DataLoader(train_set, batch_size=config.batch_size, shuffle=True),
        DataLoader(valid_set, batch_size=220),
    )
    trainer.fit()
