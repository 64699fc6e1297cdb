"""Learn a chaotic map with a residual MLP under torch.compile."""

import time

import torch
import torch.nn as nn

torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, 2 * dim)
        self.down = nn.Linear(2 * dim, dim)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


class MapNet(nn.Module):
    def __init__(self, dim=96, depth=2):
        super().__init__()
        self.stem = nn.Linear(2, dim)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(depth))
        self.head = nn.Linear(dim, 2)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def henon(state):
    x, y = state.unbind(-1)
    return torch.stack([1 - 1.4 * x**2 + y, 0.3 * x], dim=-1)


def get_batch(batch_size):
    state = torch.rand(batch_size, 2) * 2 - 1
    return state, henon(state)


def main():
    model = MapNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    compiled = torch.compile(model, backend="aot_eager")

    t0 = time.time()
    for it in range(200):
        x, y = get_batch(256)
        loss = nn.functional.mse_loss(compiled(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if it % 20 == 0 or it == 199:
            dt = time.time() - t0
            print(f"iter {it}: loss {loss.item():.5f}, time {dt * 1000:.0f}ms")
            t0 = time.time()


if __name__ == "__main__":
    main()
