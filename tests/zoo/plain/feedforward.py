"""Perceptrons and convolutional nets with the losses that people give them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.zoo.plain.stable import batches, blobs, curve, pictures, stable
from tests.zoo.specimen import Target
from torch import Tensor, nn


def mlp(num_in: int, num_out: int, hidden: int = 32, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_in, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_out),
    )


def trained(model: nn.Module, loader: object, loss_fn: object, lr: float = 3e-3) -> Target:
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    return {"model": model, "loader": loader, "optimizer": optimizer, "loss_fn": loss_fn}


def mlp_classifier() -> Target:
    return trained(mlp(8, 4), batches(*blobs()), nn.CrossEntropyLoss())


def mlp_regressor() -> Target:
    return trained(mlp(4, 1), batches(*curve()), nn.MSELoss())


def mlp_heavy_dropout() -> Target:
    return trained(mlp(8, 4, hidden=64, dropout=0.5), batches(*blobs()), F.cross_entropy)


def label_smoothing() -> Target:
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)
    return trained(mlp(8, 4), batches(*blobs()), loss_fn)


def class_weights() -> Target:
    """One class of three is rare, and counts for more."""
    features, labels = blobs(num_classes=3)
    kept = (labels != 2) | (torch.arange(len(labels)) % 4 == 0)
    features, labels = features[kept], labels[kept]
    share = torch.bincount(labels).float() / len(labels)
    loss_fn = nn.CrossEntropyLoss(weight=1.0 / (3.0 * share))
    return trained(mlp(8, 3), batches(features, labels), loss_fn)


def multi_label() -> Target:
    features = torch.randn(192, 8)
    labels = (features @ torch.randn(8, 5) > 0.5).float()
    return trained(mlp(8, 5), batches(features, labels), nn.BCEWithLogitsLoss())


def focal_loss(outputs: Tensor, targets: Tensor, gamma: float = 2.0) -> Tensor:
    cross_entropy = F.cross_entropy(outputs, targets, reduction="none")
    return ((1.0 - torch.exp(-cross_entropy)) ** gamma * cross_entropy).mean()


def focal() -> Target:
    return trained(mlp(8, 4), batches(*blobs()), focal_loss)


def gaussian_nll() -> Target:
    """Mean and variance of a well predictable target: the loss goes below zero."""
    features = torch.randn(192, 4)
    targets = 0.2 * torch.sin(features[:, :1]) + 0.01 * torch.randn(192, 1)

    def loss_fn(outputs: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        mean, log_variance = outputs.chunk(2, dim=-1)
        return F.gaussian_nll_loss(mean, batch[1], log_variance.exp() + 1e-3)

    return trained(mlp(4, 2), batches(features, targets), loss_fn)


class ConvNet(nn.Module):
    """Two convolutions, each followed by the given norm, and a linear head on the mean."""

    def __init__(self, norm: type[nn.Module] | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=norm is None)
        self.norm1 = norm(8) if norm else nn.GroupNorm(1, 8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=norm is None)
        self.norm2 = norm(16) if norm else nn.GroupNorm(1, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:  # (batch, 1, height, width) -> (batch, 3)
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return self.head(x.mean(dim=(2, 3)))


def cnn_batch_norm() -> Target:
    return trained(ConvNet(nn.BatchNorm2d), batches(*pictures(), size=12), nn.CrossEntropyLoss())


def cnn_layer_norm() -> Target:
    return trained(ConvNet(None), batches(*pictures(), size=12), nn.CrossEntropyLoss())


def weight_norm() -> Target:
    norm = nn.utils.parametrizations.weight_norm
    model = nn.Sequential(norm(nn.Linear(8, 32)), nn.ReLU(), norm(nn.Linear(32, 4)))
    return trained(model, batches(*blobs()), nn.CrossEntropyLoss())


def spectral_norm() -> Target:
    norm = nn.utils.parametrizations.spectral_norm
    model = nn.Sequential(norm(nn.Linear(8, 32)), nn.ReLU(), nn.Linear(32, 4))
    return trained(model, batches(*blobs()), nn.CrossEntropyLoss())


class Block(nn.Module):
    """A residual branch whose last layer starts at zero, or is scaled by a small gate."""

    def __init__(self, width: int, gate: float | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.gate = None if gate is None else nn.Parameter(torch.full((width,), gate))
        if gate is None:
            nn.init.zeros_(self.down.weight)
            nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:  # (batch, width) -> (batch, width)
        branch = self.down(F.gelu(self.up(self.norm(x))))
        return x + (branch if self.gate is None else self.gate * branch)


def residual(depth: int, gate: float | None) -> nn.Sequential:
    blocks = [Block(24, gate) for _ in range(depth)]
    return nn.Sequential(nn.Linear(8, 24), *blocks, nn.LayerNorm(24), nn.Linear(24, 4))


def zero_init_residual() -> Target:
    return trained(residual(4, None), batches(*blobs()), nn.CrossEntropyLoss())


def layer_scale() -> Target:
    return trained(residual(4, 1e-4), batches(*blobs()), nn.CrossEntropyLoss())


def deep_residual() -> Target:
    return trained(residual(30, 0.2), batches(*blobs()), nn.CrossEntropyLoss(), lr=1e-3)


class TwoHeads(nn.Module):
    """A shared trunk under a classifier and a regressor; the loss is computed in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = mlp(8, 32)
        self.kind = nn.Linear(32, 4)
        self.size = nn.Linear(32, 1)

    def forward(self, features: Tensor, kind: Tensor, size: Tensor) -> dict[str, Tensor]:
        shared = F.relu(self.trunk(features))
        kind_loss = F.cross_entropy(self.kind(shared), kind)
        size_loss = F.mse_loss(self.size(shared), size)
        return {"loss": kind_loss + 0.5 * size_loss}


def multi_task() -> Target:
    features, kinds = blobs()
    sizes = features.norm(dim=1, keepdim=True)
    sizes = (sizes - sizes.mean()) / sizes.std()
    rows = [
        {"features": feature, "kind": kind, "size": size}
        for feature, kind, size in zip(features, kinds, sizes, strict=True)
    ]
    loader = torch.utils.data.DataLoader(rows, batch_size=16, shuffle=True)
    model = TwoHeads()
    return {
        "model": model,
        "loader": loader,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=3e-3),
    }


class Baskets(nn.Module):
    """Sums the embeddings of a basket of goods and guesses its buyer's kind."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.goods = nn.EmbeddingBag(200, 16, mode="mean", sparse=sparse)
        self.head = nn.Linear(16, 3)

    def forward(self, basket: Tensor) -> Tensor:  # (batch, goods) -> (batch, 3)
        return self.head(self.goods(basket))


def baskets() -> tuple[Tensor, Tensor]:
    kinds = torch.arange(192) % 3
    own = 60 * kinds[:, None] + torch.randint(0, 60, (192, 6))
    anything = torch.randint(0, 200, (192, 6))
    return torch.where(torch.rand(192, 6) < 0.6, own, anything), kinds


def embedding_bag() -> Target:
    return trained(Baskets(sparse=False), batches(*baskets()), nn.CrossEntropyLoss(), lr=1e-2)


def sparse_embedding() -> Target:
    """Gradients of the embedding are sparse tensors, and Adagrad takes them."""
    model = Baskets(sparse=True)
    return {
        "model": model,
        "loader": batches(*baskets()),
        "optimizer": torch.optim.Adagrad(model.parameters(), lr=0.1),
        "loss_fn": nn.CrossEntropyLoss(),
    }


SPECIMENS = stable(
    "feedforward",
    mlp_classifier,
    mlp_regressor,
    mlp_heavy_dropout,
    label_smoothing,
    class_weights,
    multi_label,
    focal,
    gaussian_nll,
    cnn_batch_norm,
    cnn_layer_norm,
    weight_norm,
    spectral_norm,
    zero_init_residual,
    layer_scale,
    deep_residual,
    multi_task,
    embedding_bag,
    sparse_embedding,
    quick=(
        mlp_classifier,
        gaussian_nll,
        cnn_batch_norm,
        zero_init_residual,
        sparse_embedding,
    ),
)
