"""Sharpness-aware minimisation: two backward passes a batch, the weights moved up in between."""

import torch
from torch import nn

torch.manual_seed(0)


class SAM(torch.optim.Optimizer):
    def __init__(self, params, base_optimizer, rho=0.05, **kwargs):
        super().__init__(params, {"rho": rho, **kwargs})
        self.base_optimizer = base_optimizer(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self):
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        norm = torch.stack([g.norm() for g in grads if g is not None]).norm()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                self.state[p]["old"] = p.detach().clone()
                p.add_(p.grad, alpha=group["rho"] / (norm.item() + 1e-12))
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.copy_(self.state[p]["old"])
        self.base_optimizer.step()
        self.zero_grad()

    @torch.no_grad()
    def step(self, closure):
        closure = torch.enable_grad()(closure)
        self.first_step()
        closure()
        self.second_step()


def batches(x, y, batch_size):
    """One pass over the data in a new order; the last, smaller batch is left out."""
    order = torch.randperm(len(x))
    for rows in order.split(batch_size):
        if len(rows) < batch_size:
            continue
        yield x[rows], y[rows]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(30, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 7)
        )

    def forward(self, x):
        return self.layers(x)


centres = 0.9 * torch.randn(7, 2, 30)
label = torch.randint(0, 7, (1900,))
points = centres[label, torch.randint(0, 2, (1900,))] + torch.randn(1900, 30)
points = points / points.std(0)

model = Net()
optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=0.05, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(10):
    total, count = 0.0, 0
    for x, y in batches(points, label, batch_size=90):

        def closure(x=x, y=y):
            loss = loss_fn(model(x), y)
            loss.backward()
            return loss

        loss = closure()
        optimizer.step(closure)
        total += loss.item()
        count += 1
    print(f"epoch {epoch + 1:2d}: loss {total / count:.4f}")
