"""Regression with uncertainty: weight-normalised layers, Gaussian likelihood, MC dropout."""

import torch
import torch.nn as nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.data import DataLoader, TensorDataset


class UncertainNet(nn.Module):
    def __init__(self, hidden=160, p=0.1):
        super().__init__()
        self.fc1 = weight_norm(nn.Linear(1, hidden))
        self.fc2 = weight_norm(nn.Linear(hidden, hidden))
        self.mean = nn.Linear(hidden, 1)
        self.log_var = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(p)

    def forward(self, x):
        h = self.dropout(torch.tanh(self.fc1(x)))
        h = self.dropout(torch.tanh(self.fc2(h)))
        return self.mean(h), self.log_var(h).exp()


def observations(n=1600):
    x = 4 * torch.rand(n, 1) - 2
    noise = 0.05 + 0.25 * (x > 0).float()
    return x, torch.sin(3 * x) + 0.3 * x + noise * torch.randn(n, 1)


@torch.no_grad()
def predict(model, x, num_samples=20):
    """Dropout stays on: the spread of the answers is the model's doubt."""
    model.train()
    means, variances = zip(*(model(x) for _ in range(num_samples)))
    means = torch.stack(means)
    return means.mean(0), means.var(0) + torch.stack(variances).mean(0)


def main():
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(*observations()), batch_size=64, shuffle=True)
    model = UncertainNet()
    nll = nn.GaussianNLLLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4)
    grid = torch.linspace(-2, 2, 80)[:, None]
    truth = torch.sin(3 * grid) + 0.3 * grid
    for epoch in range(1, 25):
        model.train()
        epoch_nll = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            mean, variance = model(x)
            loss = nll(mean, y, variance)
            loss.backward()
            optimizer.step()
            epoch_nll += loss.item() / len(loader)
        if epoch % 4 == 0:
            mean, variance = predict(model, grid)
            error = (mean - truth).abs().mean().item()
            print(
                f"epoch {epoch} nll {epoch_nll:.4f} error {error:.4f} doubt {variance.mean():.4f}"
            )


if __name__ == "__main__":
    main()
