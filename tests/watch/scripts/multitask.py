"""One trunk, two heads: the age (regression) and the kind (classification) of a made-up star."""

from collections import defaultdict

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Stars(Dataset):
    def __init__(self, size, seed):
        g = torch.Generator().manual_seed(seed)
        self.age = torch.rand(size, generator=g)
        self.kind = torch.randint(0, 4, (size,), generator=g)
        wavelength = torch.linspace(0, 1, 64)
        peak = 0.2 + 0.6 * self.age[:, None]
        spectrum = torch.exp(-((wavelength - peak) ** 2) / 0.02)
        line = (0.15 + 0.2 * self.kind.float())[:, None]
        spectrum = spectrum - 0.8 * torch.exp(-((wavelength - line) ** 2) / 0.0005)
        spectrum = spectrum + 0.1 * torch.randn(size, 64, generator=g)
        self.spectrum = (spectrum - spectrum.mean()) / spectrum.std()

    def __len__(self):
        return len(self.age)

    def __getitem__(self, index):
        return {
            "spectrum": self.spectrum[index],
            "age": self.age[index] * 2 - 1,
            "kind": self.kind[index],
        }


class MultiTaskNet(nn.Module):
    def __init__(self, dim=128):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(64, dim), nn.LayerNorm(dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU()
        )
        self.heads = nn.ModuleDict({"age": nn.Linear(dim, 1), "kind": nn.Linear(dim, 4)})
        # uncertainty of each task, learned
        self.log_vars = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(())) for name in self.heads}
        )

    def forward(self, spectrum):
        features = self.trunk(spectrum)
        return {
            "age": self.heads["age"](features).squeeze(-1),
            "kind": self.heads["kind"](features),
        }


def task_losses(outputs, batch):
    return {
        "age": F.mse_loss(outputs["age"], batch["age"]),
        "kind": F.cross_entropy(outputs["kind"], batch["kind"]),
    }


def total_loss(model, losses):
    parts = []
    for name, loss in losses.items():
        log_var = model.log_vars[name]
        parts.append(torch.exp(-log_var) * loss + 0.5 * log_var)
    return torch.stack(parts).sum()


def run_epoch(model, loader, optimizer=None):
    training = optimizer is not None
    model.train(training)
    sums = defaultdict(float)
    with torch.set_grad_enabled(training):
        for batch in loader:
            losses = task_losses(model(batch["spectrum"]), batch)
            if training:
                loss = total_loss(model, losses)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            for name, value in losses.items():
                sums[name] += value.item() / len(loader)
    return sums


if __name__ == "__main__":
    torch.manual_seed(0)
    train_loader = DataLoader(Stars(1600, seed=0), batch_size=64, shuffle=True)
    valid_loader = DataLoader(Stars(320, seed=1), batch_size=160)
    model = MultiTaskNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(8):
        train_sums = run_epoch(model, train_loader, optimizer)
        valid_sums = run_epoch(model, valid_loader)
        print(
            f"epoch {epoch} | train age {train_sums['age']:.4f} kind {train_sums['kind']:.4f} "
            f"| valid age {valid_sums['age']:.4f} kind {valid_sums['kind']:.4f}"
        )
