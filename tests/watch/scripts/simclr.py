"""Contrastive learning of signal embeddings: two augmented views, NT-Xent, linear probe."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

TEMPERATURE = 0.2


def augment(signal):
    shift = int(torch.randint(0, signal.numel(), ()))
    signal = torch.roll(signal, shift)
    scale = 0.8 + 0.4 * torch.rand(())
    return scale * signal + 0.1 * torch.randn_like(signal)


class TwoViews(Dataset):
    def __init__(self, num_samples=768, length=64):
        g = torch.Generator().manual_seed(0)
        self.labels = torch.randint(0, 4, (num_samples,), generator=g)
        t = torch.linspace(0, 6.283, length)
        freq = torch.tensor([1.0, 2.0, 3.0, 5.0])[self.labels][:, None]
        tilt = 0.4 * torch.rand(num_samples, 1, generator=g)
        self.signals = torch.sin(freq * t) + tilt * torch.sin(3 * freq * t)

    def __len__(self):
        return len(self.signals)

    def __getitem__(self, i):
        return augment(self.signals[i]), augment(self.signals[i])


class Encoder(nn.Module):
    def __init__(self, width=32, out=64):
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv1d(1, width, 7, stride=2, padding=3, padding_mode="circular"),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, out, 7, stride=2, padding=3, padding_mode="circular"),
            nn.BatchNorm1d(out),
            nn.ReLU(),
        )

    def forward(self, x):
        return self.convs(x[:, None]).mean(dim=2)


class SimCLR(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.projector = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, x):
        return F.normalize(self.projector(self.encoder(x)), dim=1)


def nt_xent(z1, z2):
    n = z1.size(0)
    z = torch.cat([z1, z2])
    similarity = z @ z.T / TEMPERATURE
    similarity.fill_diagonal_(float("-inf"))
    positives = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    return F.cross_entropy(similarity, positives)


def linear_probe(encoder, dataset):
    encoder.eval()
    with torch.no_grad():
        features = encoder(dataset.signals)
    features = (features - features.mean(0)) / (features.std(0) + 1e-6)
    probe = nn.Linear(features.size(1), 4)
    opt = torch.optim.SGD(probe.parameters(), lr=0.5)
    for _ in range(50):
        opt.zero_grad()
        F.cross_entropy(probe(features), dataset.labels).backward()
        opt.step()
    return (probe(features).argmax(1) == dataset.labels).float().mean().item()


def main():
    torch.manual_seed(4)
    dataset = TwoViews()
    loader = DataLoader(dataset, batch_size=64, shuffle=True, drop_last=True)
    model = SimCLR()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-6)
    for epoch in range(8):
        model.train()
        total = 0.0
        for view1, view2 in loader:
            loss = nt_xent(model(view1), model(view2))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}: contrastive loss {total / len(loader):.4f}")
    print(f"linear probe accuracy {linear_probe(model.encoder, dataset):.3f}")


if __name__ == "__main__":
    main()
