"""Spectral features are computed in a pool of spawned processes, then a small net is trained."""

import argparse
import multiprocessing as mp
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass
class Clip:
    samples: np.ndarray
    label: int


class Extractor:
    """Log-power of bands; instances go to the worker processes by pickle."""

    def __init__(self, num_bands=24, window=256):
        self.num_bands = num_bands
        self.window = window

    def __call__(self, clip):
        frames = clip.samples.reshape(-1, self.window) * np.hanning(self.window)
        power = np.abs(np.fft.rfft(frames)) ** 2
        bands = np.array_split(power[:, 1:], self.num_bands, axis=1)
        energy = np.stack([band.mean(axis=1) for band in bands], axis=1)
        return np.log(energy + 1e-6).mean(axis=0).astype(np.float32), clip.label


def record(label, rng, length=2048):
    t = np.arange(length)
    base = 0.05 + 0.12 * label + rng.uniform(-0.05, 0.05)
    wave = np.sin(base * 3.14 * t) + 0.5 * np.sin(2 * base * 3.14 * t + rng.uniform(0, 6.28))
    return Clip(wave + rng.normal(0, 1.5, length), label)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=900)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    clips = [record(int(label), rng) for label in rng.integers(0, 6, args.clips)]
    with mp.get_context("spawn").Pool(args.processes) as pool:
        rows = pool.map(Extractor(), clips, chunksize=64)
    features = torch.from_numpy(np.stack([row for row, _ in rows]))
    labels = torch.tensor([label for _, label in rows])
    features = (features - features.mean(0)) / features.std(0)
    print(f"{len(features)} clips, {features.size(1)} features each")

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(24, 256),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 6),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for epoch in range(args.epochs):
        permutation = torch.randperm(len(features))
        losses = []
        for rows in permutation.split(60):
            loss = nn.functional.cross_entropy(model(features[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1} loss {np.mean(losses):.4f}")


if __name__ == "__main__":
    main()
