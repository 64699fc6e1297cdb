"""Logits that are cosines times a scale are known by the lengths of what is multiplied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.recorder import Recorder

LABELS = torch.tensor([0, 1, 2, 1, 0, 2])
Logits = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def has_cosines(logits: Logits) -> bool:
    """Tell what is seen of logits that are made of features (6, 8) and weights (3, 8)."""
    torch.manual_seed(0)
    features, weights = torch.randn(6, 8), torch.randn(3, 8, requires_grad=True)
    criteria = Criteria(Recorder())
    with Flow(Recorder(), {}, [], [criteria]).watching():
        F.cross_entropy(logits(features, weights), LABELS)
    (row,) = criteria.finish()
    return row.input_has_cosines


def arcface(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    cosine = F.linear(F.normalize(features), F.normalize(weights)).clamp(-0.999, 0.999)
    return 30 * torch.where(F.one_hot(LABELS).bool(), torch.cos(cosine.acos() + 0.5), cosine)


def cosface(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    rows, columns = features / features.norm(dim=1, keepdim=True), F.normalize(weights.T, dim=0)
    return 30 * (rows @ columns - 0.35 * F.one_hot(LABELS))


def by_name(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(features[:, None], weights[None], dim=-1) / 0.07


@pytest.mark.parametrize("logits", [arcface, cosface, by_name])
def test_a_margin_on_cosines_is_known(logits: Logits) -> None:
    assert has_cosines(logits)


@pytest.mark.parametrize(
    "logits",
    [
        F.linear,
        lambda x, w: F.linear(F.normalize(x), w),  # only one of them
        lambda x, w: torch.eye(6).to_sparse() @ F.linear(x, w),  # over a graph
        lambda x, w: F.linear(F.linear(F.normalize(x), F.normalize(w)), 5 * torch.eye(3)),
    ],
)
def test_other_products_are_not(logits: Logits) -> None:
    assert not has_cosines(logits)
