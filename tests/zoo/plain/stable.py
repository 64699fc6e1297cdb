"""How the little programs of this folder become specimens, and the data they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from tests.zoo.specimen import Specimen, Target
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

VOCAB = 32


def stable(
    family: str, *programs: Callable[[], Target], quick: Iterable[Callable[[], Target]] = ()
) -> tuple[Specimen, ...]:
    """Return one specimen per program, named after its function."""
    chosen = set(quick)
    return tuple(
        Specimen(
            name=program.__name__.replace("_", "-"),
            family=family,
            build=partial(_seeded, program),
            slow=program not in chosen,
        )
        for program in programs
    )


def _seeded(program: Callable[[], Target]) -> Target:
    torch.manual_seed(0)
    return program()


def batches(*tensors: Tensor, size: int = 16) -> DataLoader[Any]:
    """Return a shuffled loader over tuples of the tensors' rows."""
    return DataLoader(TensorDataset(*tensors), batch_size=size, shuffle=True)


def blobs(
    num_samples: int = 192, num_features: int = 8, num_classes: int = 4
) -> tuple[Tensor, Tensor]:
    """Return points (samples, features) around a centre per class, and the class of each."""
    labels = torch.arange(num_samples) % num_classes
    centres = 1.5 * torch.randn(num_classes, num_features)
    return centres[labels] + torch.randn(num_samples, num_features), labels


def curve(num_samples: int = 192, num_features: int = 4) -> tuple[Tensor, Tensor]:
    """Return points (samples, features), and a smooth function of each (samples, 1)."""
    x = torch.randn(num_samples, num_features)
    y = torch.sin(x[:, :1]) + 0.5 * x[:, 1:2] * x[:, 2:3] + 0.05 * torch.randn(num_samples, 1)
    return x, (y - y.mean()) / y.std()


def pictures(num_samples: int = 96, size: int = 16, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return noisy stripes (samples, 1, size, size), and which of three ways each run."""
    labels = torch.arange(num_samples) % 3
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    across = torch.stack([x, y, x + y]).float()[labels]
    phase = 6.28 * torch.rand(num_samples, 1, 1)
    clean = torch.sin(0.8 * across + phase)
    return (clean + noise * torch.randn_like(clean))[:, None], labels


def text(num_samples: int = 96, length: int = 20) -> Tensor:
    """Return (samples, length) of words in 1..31 that mostly follow from the one before."""
    words = torch.randint(1, VOCAB, (num_samples, length))
    follows = torch.rand(num_samples, length) < 0.7
    for position in range(1, length):
        step = 1 + (5 * words[:, position - 1] + 3) % (VOCAB - 1)
        words[:, position] = torch.where(follows[:, position], step, words[:, position])
    return words


def continued(words: Tensor) -> tuple[Tensor, Tensor]:
    """Return inputs and next-word targets, each (samples, length - 1)."""
    return words[:, :-1].contiguous(), words[:, 1:].contiguous()
