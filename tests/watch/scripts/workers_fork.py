"""Denoise audio-like snippets; two persistent loader workers with random crops."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Snippets(Dataset):
    def __init__(self, num_tones=32, crops_per_tone=20, crop=256):
        rng = np.random.default_rng(0)
        t = np.arange(2048) / 2048
        tones = []
        for _ in range(num_tones):
            f1, f2 = rng.uniform(20, 60), rng.uniform(60, 120)
            tones.append(np.sin(2 * np.pi * f1 * t) + 0.5 * np.sin(2 * np.pi * f2 * t))
        self.tones = np.stack(tones).astype(np.float32)
        self.crops_per_tone = crops_per_tone
        self.crop = crop

    def __len__(self):
        return len(self.tones) * self.crops_per_tone

    def __getitem__(self, index):
        tone = self.tones[index // self.crops_per_tone]
        start = np.random.randint(0, len(tone) - self.crop)
        clean = tone[start : start + self.crop]
        noisy = clean + 0.5 * np.random.randn(self.crop).astype(np.float32)
        return torch.from_numpy(noisy)[None], torch.from_numpy(clean.copy())[None]


class Denoiser(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.inp = nn.Conv1d(1, width, 9, padding=4)
        self.mid = nn.ModuleList(
            nn.Conv1d(width, width, 9, padding=4 * d, dilation=d) for d in (1, 2, 4)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(4, width) for _ in range(3))
        self.out = nn.Conv1d(width, 1, 9, padding=4)

    def forward(self, x):
        h = self.inp(x)
        for norm, conv in zip(self.norms, self.mid):
            h = h + torch.relu(conv(norm(h)))
        return self.out(h)


def main():
    torch.manual_seed(0)
    loader = DataLoader(
        Snippets(),
        batch_size=32,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        prefetch_factor=4,
    )
    model = Denoiser()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(3):
        losses = []
        for noisy, clean in loader:
            loss = nn.functional.mse_loss(model(noisy), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch} mse {np.mean(losses):.4f} (last {losses[-1]:.4f})")


if __name__ == "__main__":
    main()
