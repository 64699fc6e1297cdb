"""Programs that learn without labels: by agreement, by contrast, from a slow teacher."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from tests.zoo.plain.stable import batches, blobs, stable
from tests.zoo.specimen import Target
from torch import Tensor, nn


def encoder(num_out: int = 16) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, num_out))


def views() -> tuple[Tensor, Tensor]:
    """Return two noisy views (samples, 8) of the same points."""
    points, _ = blobs()
    return points + 0.2 * torch.randn_like(points), points + 0.2 * torch.randn_like(points)


class BYOL(nn.Module):
    """An online net predicts what a slow copy of itself says of another view."""

    def __init__(self, decay: float = 0.98) -> None:
        super().__init__()
        self.online = encoder()
        self.predictor = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.decay = decay

    def forward(self, views: tuple[Tensor, Tensor]) -> Tensor:
        one, other = views
        return 0.5 * (self.disagreement(one, other) + self.disagreement(other, one))

    def disagreement(self, seen: Tensor, taught: Tensor) -> Tensor:
        with torch.no_grad():
            answer = self.target(taught)
        return 1.0 - F.cosine_similarity(self.predictor(self.online(seen)), answer).mean()

    @torch.no_grad()
    def follow(self) -> None:
        for slow, fast in zip(self.target.parameters(), self.online.parameters(), strict=True):
            slow.lerp_(fast, 1.0 - self.decay)


def byol() -> Target:
    model = BYOL()
    trained = [p for p in model.parameters() if p.requires_grad]

    def train_step(
        model: BYOL, batch: tuple[Tensor, Tensor], optimizer: torch.optim.Optimizer
    ) -> Tensor:
        optimizer.zero_grad()
        loss = model(batch)
        loss.backward()
        optimizer.step()
        model.follow()
        return loss

    return {
        "model": model,
        "loader": batches(*views()),
        "optimizer": torch.optim.AdamW(trained, lr=2e-3),
        "train_step": train_step,
    }


def triplet() -> Target:
    """One encoder for anchor, relative and stranger, the three stacked in one tensor."""
    points, kinds = blobs(num_classes=3)
    rows = []
    for point, kind in zip(points, kinds, strict=True):
        kin, strangers = points[kinds == kind], points[kinds != kind]
        chosen = int(torch.randint(len(kin), ())), int(torch.randint(len(strangers), ()))
        rows.append(torch.stack([point, kin[chosen[0]], strangers[chosen[1]]]))
    model = encoder()

    def loss_fn(outputs: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        anchor, relative, stranger = outputs.unbind(dim=1)
        return F.triplet_margin_loss(anchor, relative, stranger, margin=1.0)

    return {
        "model": model,
        "loader": batches(torch.stack(rows), kinds),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3),
        "loss_fn": loss_fn,
    }


class Contrastive(nn.Module):
    """InfoNCE between two views, with a learned temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder()
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, one: Tensor, other: Tensor) -> dict[str, Tensor]:
        left = F.normalize(self.encoder(one), dim=-1)
        right = F.normalize(self.encoder(other), dim=-1)
        logits = self.log_scale.exp() * left @ right.T
        own = torch.arange(len(one), device=one.device)
        loss = 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))
        return {"loss": loss}


def info_nce() -> Target:
    rows = [{"one": one, "other": other} for one, other in zip(*views(), strict=True)]
    model = Contrastive()
    return {
        "model": model,
        "loader": torch.utils.data.DataLoader(rows, batch_size=16, shuffle=True),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=2e-3),
    }


SPECIMENS = stable("self-supervised", byol, triplet, info_nce, quick=(byol,))
