"""Per-task fine-tuning with torch.func: functional_call, grad, vmap, and an outer optimizer."""

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

INNER_LR = 0.05
TASKS, SHOTS = 16, 10

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))


def sample_tasks(num_tasks, num_points):
    """Points of sine waves; each task has an amplitude and a phase."""
    amplitude = 0.5 + 1.5 * torch.rand(num_tasks, 1, 1)
    phase = 3.14 * torch.rand(num_tasks, 1, 1)
    x = 4 * torch.rand(num_tasks, num_points, 1) - 2
    return x, amplitude * torch.sin(2 * x + phase)


def loss_fn(params, x, y):
    prediction = functional_call(model, params, (x,))
    return ((prediction - y) ** 2).mean()


def adapted_loss(params, x_support, y_support, x_query, y_query):
    gradients = grad(loss_fn)(params, x_support, y_support)
    adapted = {name: p - INNER_LR * gradients[name] for name, p in params.items()}
    return loss_fn(adapted, x_query, y_query)


def main():
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    running = None
    for step in range(1, 301):
        params = dict(model.named_parameters())
        x, y = sample_tasks(TASKS, 2 * SHOTS)
        task_losses = vmap(adapted_loss, in_dims=(None, 0, 0, 0, 0))(
            params, x[:, :SHOTS], y[:, :SHOTS], x[:, SHOTS:], y[:, SHOTS:]
        )
        loss = task_losses.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        if step % 30 == 0:
            print(f"step {step:3d}  loss after adaptation {running:.4f}")


if __name__ == "__main__":
    main()
