"""Physics-informed network for the heat equation u_t = 0.1 u_xx on the unit interval."""

import math

import torch
from torch import nn

DIFFUSIVITY = 0.1


class Field(nn.Module):
    def __init__(self, width=64, depth=3):
        super().__init__()
        layers = [nn.Linear(2, width), nn.Tanh()]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width), nn.Tanh()]
        self.net = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x, t):
        return self.net(torch.cat([2 * x - 1, 2 * t - 1], dim=1))


def derivative(y, x):
    return torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]


def residual(model, n):
    x = torch.rand(n, 1, requires_grad=True)
    t = torch.rand(n, 1, requires_grad=True)
    u = model(x, t)
    u_x = derivative(u, x)
    return derivative(u, t) - DIFFUSIVITY * derivative(u_x, x)


def initial_value(x):
    return torch.sin(math.pi * x) + 0.5 * torch.sin(3 * math.pi * x)


def exact(x, t):
    first = torch.sin(math.pi * x) * torch.exp(-DIFFUSIVITY * math.pi**2 * t)
    third = 0.5 * torch.sin(3 * math.pi * x) * torch.exp(-9 * DIFFUSIVITY * math.pi**2 * t)
    return first + third


def main():
    torch.manual_seed(0)
    model = Field()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.997)
    for step in range(401):
        optimizer.zero_grad()
        loss_pde = residual(model, 256).square().mean()
        x0 = torch.rand(128, 1)
        loss_initial = (model(x0, torch.zeros_like(x0)) - initial_value(x0)).square().mean()
        t = torch.rand(64, 1)
        edges = torch.cat([model(torch.zeros_like(t), t), model(torch.ones_like(t), t)])
        loss = loss_pde + 10 * loss_initial + 10 * edges.square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            print(f"step {step:4d} loss {loss.item():.5f} pde {loss_pde.item():.5f}")

    with torch.no_grad():
        x, t = torch.rand(2000, 1), torch.rand(2000, 1)
        error = (model(x, t) - exact(x, t)).abs().mean().item()
    print(f"mean absolute error {error:.4f}")


if __name__ == "__main__":
    main()
