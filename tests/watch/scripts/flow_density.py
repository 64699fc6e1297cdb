"""Normalising flow (affine couplings) on a curved two-dimensional density.

The negative log-likelihood may become negative: densities can exceed one.
"""

import math

import torch
from torch import nn
from torch.distributions import MultivariateNormal


class Coupling(nn.Module):
    def __init__(self, flip, hidden=64):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(
            nn.Linear(1, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x):
        """Towards the base: returns the transformed points and the log-determinant."""
        a, b = x.chunk(2, dim=1)
        if self.flip:
            a, b = b, a
        log_scale, shift = self.net(a).chunk(2, dim=1)
        log_scale = torch.tanh(log_scale) * 2
        b = b * log_scale.exp() + shift
        y = torch.cat([b, a] if self.flip else [a, b], dim=1)
        return y, log_scale.squeeze(1)


class Flow(nn.Module):
    def __init__(self, num_layers=6):
        super().__init__()
        self.layers = nn.ModuleList([Coupling(flip=i % 2 == 1) for i in range(num_layers)])
        self.register_buffer("loc", torch.zeros(2))
        self.register_buffer("cov", torch.eye(2))

    def log_prob(self, x):
        total = torch.zeros(x.size(0))
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return MultivariateNormal(self.loc, self.cov).log_prob(x) + total


def banana(n):
    angle = 0.5 * math.pi * torch.randn(n)
    radius = 0.5 + 0.02 * torch.randn(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


if __name__ == "__main__":
    torch.manual_seed(0)
    flow = Flow()
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    average = 0.0
    for step in range(1, 301):
        loss = -flow.log_prob(banana(256)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimizer.step()
        average += loss.item() / 30
        if step % 30 == 0:
            print(f"step {step}: nll {average:.4f}")
            average = 0.0
