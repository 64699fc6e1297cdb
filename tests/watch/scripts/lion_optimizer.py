"""A user's own optimizer (sign of an interpolated momentum) on a small mixture task."""

import torch
from torch import nn
from torch.optim.optimizer import Optimizer
from torch.utils.data import DataLoader, TensorDataset


class Lion(Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        if lr <= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["exp_avg"] = torch.zeros_like(p)
                exp_avg = state["exp_avg"]
                p.mul_(1 - group["lr"] * group["weight_decay"])
                update = exp_avg.mul(beta1).add(p.grad, alpha=1 - beta1).sign_()
                p.add_(update, alpha=-group["lr"])
                exp_avg.mul_(beta2).add_(p.grad, alpha=1 - beta2)
        return loss


class Expert(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.w1 = nn.Linear(dim, hidden)
        self.w2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.w2(torch.relu(self.w1(x)))


class SoftMixture(nn.Module):
    def __init__(self, dim=32, hidden=64, num_experts=3):
        super().__init__()
        self.proj = nn.Linear(6, dim)
        self.gate = nn.Linear(dim, num_experts)
        self.experts = nn.ModuleList([Expert(dim, hidden) for _ in range(num_experts)])
        self.head = nn.Linear(dim, 2)

    def forward(self, x):
        x = self.proj(x)
        weights = self.gate(x).softmax(dim=-1)
        outputs = torch.stack([expert(x) for expert in self.experts], dim=-1)
        return self.head(x + (outputs * weights[:, None]).sum(-1))


def dynamics(n):
    state = torch.randn(n, 6)
    friction = torch.where(state[:, 0] > 0, 0.2, 1.5)
    a = state[:, 1] - friction * state[:, 2]
    b = state[:, 3] * state[:, 4] + 0.5 * state[:, 5]
    return TensorDataset(state, torch.stack([a, b], dim=1))


if __name__ == "__main__":
    torch.manual_seed(0)
    loader = DataLoader(dynamics(2048), batch_size=64, shuffle=True)
    model = SoftMixture()
    optimizer = Lion(model.parameters(), lr=1e-3, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)
    for epoch in range(8):
        losses = []
        for state, target in loader:
            loss = nn.functional.mse_loss(model(state), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        print(f"epoch {epoch} loss {sum(losses) / len(losses):.4f}")
