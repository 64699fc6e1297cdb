"""Half precision with dynamic loss scaling; the first steps are skipped until the scale fits."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Residual(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.ff = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        return x + self.ff(self.norm(x))


def make_model(dim=96):
    return nn.Sequential(nn.Linear(16, dim), Residual(dim), Residual(dim), nn.Linear(dim, 4))


def rotations(n):
    """Quaternions of pairs of directions, from eight numbers each."""
    a, b = torch.randn(n, 8), torch.randn(n, 8)
    target = torch.stack([(a * b.roll(k, dims=1)).sum(dim=1) for k in range(4)], dim=1)
    return TensorDataset(torch.cat([a, b], dim=1), target / target.std())


def main():
    torch.manual_seed(0)
    loader = DataLoader(rotations(4096), batch_size=128, shuffle=True)
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**22, growth_interval=200)
    skipped = 0
    for epoch in range(6):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.float16):
                prediction = model(x)
            loss = nn.functional.mse_loss(prediction.float(), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped += scaler.get_scale() < before
            total += loss.item()
        print(
            f"epoch {epoch}: loss {total / len(loader):.4f}, "
            f"scale {scaler.get_scale():.0f}, skipped {skipped}"
        )


if __name__ == "__main__":
    main()
