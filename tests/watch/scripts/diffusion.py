"""Denoising diffusion on one-dimensional curves, with cosine noise levels."""

import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from tqdm import tqdm


@dataclass
class TrainingConfig:
    length: int = 32
    batch_size: int = 64
    num_steps: int = 240
    num_timesteps: int = 100
    channels: int = 32
    lr: float = 2e-3
    seed: int = 0


def sinusoidal_embedding(t, dim):
    freqs = torch.exp(-math.log(1000.0) * torch.arange(dim // 2) / (dim // 2))
    angles = t[:, None].float() * freqs
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class ResBlock(nn.Module):
    def __init__(self, channels, time_dim):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv1d(channels, channels, 5, padding=2)
        self.time = nn.Linear(time_dim, channels)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv1d(channels, channels, 5, padding=2)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(F.silu(temb))[:, :, None]
        return x + self.conv2(F.silu(self.norm2(h)))


class EpsModel(nn.Module):
    def __init__(self, channels, time_dim=64):
        super().__init__()
        self.time_dim = time_dim
        self.time_mlp = nn.Sequential(
            nn.Linear(time_dim, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim)
        )
        self.conv_in = nn.Conv1d(1, channels, 5, padding=2)
        self.blocks = nn.ModuleList([ResBlock(channels, time_dim) for _ in range(3)])
        self.norm_out = nn.GroupNorm(8, channels)
        self.conv_out = nn.Conv1d(channels, 1, 5, padding=2)

    def forward(self, x, t):
        temb = self.time_mlp(sinusoidal_embedding(t, self.time_dim))
        h = self.conv_in(x)
        for block in self.blocks:
            h = block(h, temb)
        return self.conv_out(F.silu(self.norm_out(h)))


class NoiseSchedule:
    def __init__(self, num_timesteps):
        s = torch.linspace(0, 1, num_timesteps + 1)
        alpha_bar = torch.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2
        self.alpha_bar = (alpha_bar / alpha_bar[0]).clamp(min=1e-4)[1:]
        self.num_timesteps = num_timesteps

    def add_noise(self, x, noise, t):
        a = self.alpha_bar[t][:, None, None]
        return a.sqrt() * x + (1 - a).sqrt() * noise


def curves(n, length):
    t = torch.linspace(0, 1, length)
    freq = torch.randint(1, 4, (n, 1))
    phase = 2 * math.pi * torch.rand(n, 1)
    return (1.4 * torch.sin(2 * math.pi * freq * t + phase))[:, None]


def train(config):
    torch.manual_seed(config.seed)
    model = EpsModel(config.channels)
    ema = {name: p.detach().clone() for name, p in model.named_parameters()}
    schedule = NoiseSchedule(config.num_timesteps)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr)
    bar = tqdm(range(config.num_steps), desc="diffusion")
    window = []
    for step in bar:
        clean = curves(config.batch_size, config.length)
        noise = torch.randn_like(clean)
        t = torch.randint(0, config.num_timesteps, (config.batch_size,))
        noise_pred = model(schedule.add_noise(clean, noise, t), t)
        loss = F.mse_loss(noise_pred, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for name, p in model.named_parameters():
                ema[name].lerp_(p, 0.02)

        window.append(loss.item())
        bar.set_postfix(loss=f"{loss.item():.4f}")
        if (step + 1) % 40 == 0:
            tqdm.write(f"step {step + 1} mean loss {sum(window) / len(window):.4f}")
            window.clear()
    return model, ema


if __name__ == "__main__":
    train(TrainingConfig())
