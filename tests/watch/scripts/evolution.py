"""Evolution strategies: gradients are estimated from fitness and given to Adam; no autograd."""

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters


class Controller(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 12)
        self.fc2 = nn.Linear(12, 1)

    def forward(self, x):
        return torch.tanh(self.fc2(torch.tanh(self.fc1(x))))


def fitness(controller, horizon=40, size=32):
    """Bring points with momentum to rest at the origin: minus the mean cost."""
    g = torch.Generator().manual_seed(0)
    position = torch.randn(size, 1, generator=g)
    speed = torch.randn(size, 1, generator=g)
    total = 0.0
    for _ in range(horizon):
        force = controller(torch.cat([position, speed, position**2, position * speed], dim=1))
        speed = 0.95 * speed + 0.2 * force
        position = position + 0.2 * speed
        total += (position**2 + 0.1 * speed**2).mean().item()
    return -total / horizon


def set_gradient(module, flat):
    start = 0
    for p in module.parameters():
        p.grad = flat[start : start + p.numel()].view_as(p).clone()
        start += p.numel()


def main(generations=40, population=8, sigma=0.1):
    torch.manual_seed(0)
    controller = Controller()
    optimizer = torch.optim.Adam(controller.parameters(), lr=0.08)
    candidate = Controller()
    for generation in range(generations):
        centre = parameters_to_vector(controller.parameters()).detach()
        estimate = torch.zeros_like(centre)
        with torch.no_grad():
            for _ in range(population):
                direction = torch.randn_like(centre)
                scores = []
                for sign in (1, -1):
                    vector_to_parameters(centre + sign * sigma * direction, candidate.parameters())
                    scores.append(fitness(candidate))
                estimate -= (scores[0] - scores[1]) / (2 * sigma) * direction / population
        optimizer.zero_grad()
        set_gradient(controller, estimate)
        optimizer.step()
        if generation % 5 == 4:
            with torch.no_grad():
                print(f"generation {generation + 1:3d} cost {-fitness(controller):.4f}")


if __name__ == "__main__":
    main()
