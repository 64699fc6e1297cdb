"""Setups of any number of parameters and tensors, for the benchmarks that grow them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

VOCABULARY, TIME, BATCH = 2000, 16, 2


class Block(nn.Module):
    """A residual block: norm, two matrices, and what else there is to make it so many tensors."""

    def __init__(self, width: int, num_scales: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(num_scales))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.down(torch.relu(self.up(self.norm(x))))
        for scale in self.scales:
            inner = inner * scale
        return x + inner


class Network(nn.Module):
    """Predicts the next token from this one alone."""

    def __init__(self, width: int, num_blocks: int, num_scales: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.Sequential(*(Block(width, num_scales) for _ in range(num_blocks)))
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.embedding(tokens)))


def loss_fn(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def setup(parameters: str = "1e6", tensors: str = "0") -> dict[str, Any]:
    """Return a network of about so many parameters in about so many tensors, under plain SGD."""
    torch.manual_seed(0)
    total, num_tensors = int(float(parameters)), int(tensors)
    num_blocks = 4 if total < 1e8 else 16
    width = max(8, int((total / (8 * num_blocks)) ** 0.5) // 8 * 8)
    num_scales = max(0, num_tensors // num_blocks - 4)
    model = Network(width, num_blocks, num_scales)
    tokens = torch.randint(0, VOCABULARY, (200, TIME))
    data = [(row, (row * 7 + 3) % VOCABULARY) for row in tokens]
    return {
        "model": model,
        "loader": DataLoader(data, batch_size=BATCH, shuffle=True),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.01),
        "loss_fn": loss_fn,
    }
