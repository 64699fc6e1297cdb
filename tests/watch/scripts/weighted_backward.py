"""Robust regression: `backward` is called on the vector of losses, with weights as its gradient."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def dataset(n=2000, outliers=0.1):
    x = torch.randn(n, 8)
    y = torch.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]
    wrong = torch.rand(n) < outliers
    y = torch.where(wrong, 6 * torch.randn(n), y + 0.1 * torch.randn(n))
    return TensorDataset(x, y)


class Net(nn.Module):
    def __init__(self, width=160):
        super().__init__()
        self.inp = nn.Linear(8, width)
        self.mid = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        h = nn.functional.silu(self.inp(x))
        h = h + nn.functional.silu(self.mid(h))
        return self.out(h).squeeze(1)


def robust_weights(losses):
    """Large residuals count less (Geman-McClure)."""
    return 1.0 / (1.0 + losses.detach()) ** 2 / len(losses)


torch.manual_seed(0)
loader = DataLoader(dataset(), batch_size=80, shuffle=True)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(12):
    medians = []
    for x, y in loader:
        losses = 0.5 * (net(x) - y) ** 2
        optimizer.zero_grad()
        losses.backward(robust_weights(losses))
        optimizer.step()
        medians.append(losses.detach().median())
    print(f"epoch {epoch}: median loss {torch.stack(medians).mean().item():.4f}")
