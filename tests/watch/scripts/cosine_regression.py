"""Learn a two-dimensional picture as a function of coordinates (random Fourier features)."""

import math

import torch
from torch.nn import GELU, Linear, Module, MSELoss, Sequential
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 12
WARMUP_EPOCHS = 2


class FourierFeatures(Module):
    def __init__(self, num_features=64, scale=2.0):
        super().__init__()
        self.register_buffer("B", scale * torch.randn(2, num_features))

    def forward(self, xy):
        angles = 2 * math.pi * xy @ self.B
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


def picture(side=64):
    axis = torch.linspace(-1, 1, side)
    yy, xx = torch.meshgrid(axis, axis, indexing="ij")
    r = (xx**2 + yy**2).sqrt()
    value = torch.sin(9 * r) * torch.exp(-(r**2)) + 0.3 * (xx * yy > 0).float()
    coords = torch.stack([xx.flatten(), yy.flatten()], dim=1)
    value = value.flatten()[:, None]
    return coords, (value - value.mean()) / value.std()


torch.manual_seed(3)
coords, values = picture()
loader = DataLoader(TensorDataset(coords, values), batch_size=512, shuffle=True)
model = Sequential(
    FourierFeatures(), Linear(128, 192), GELU(), Linear(192, 192), GELU(), Linear(192, 1)
)
criterion = MSELoss()
optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
scheduler = SequentialLR(
    optimizer,
    schedulers=[
        LinearLR(optimizer, start_factor=0.1, total_iters=WARMUP_EPOCHS),
        CosineAnnealingLR(optimizer, T_max=EPOCHS - WARMUP_EPOCHS, eta_min=1e-5),
    ],
    milestones=[WARMUP_EPOCHS],
)

for epoch in range(EPOCHS):
    model.train()
    epoch_loss = 0.0
    for xy, value in loader:
        optimizer.zero_grad()
        loss = criterion(model(xy), value)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item() * xy.size(0)
    scheduler.step()
    epoch_loss /= len(coords)
    psnr = -10 * math.log10(epoch_loss)
    print(f"Epoch [{epoch + 1}/{EPOCHS}] Loss: {epoch_loss:.5f} PSNR: {psnr:.2f}")
