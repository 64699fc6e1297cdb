"""A plain network learns what can be learned from the batch, whatever the user's model does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Lab, PlainNetwork
from traindoctor.target.setup import TrainingSetup


def ran(batch: Any, **settings: Any) -> dict[str, Any]:
    setup = TrainingSetup(model=nn.Linear(4, 3), loader=[batch])
    facts: dict[str, Any] = Lab(setup).perform(PlainNetwork(**settings)).facts["plain"]
    return facts


def batch(num: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.randn(num, 4)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def test_labels_that_follow_from_the_inputs_are_learned_sooner_than_permuted_ones() -> None:
    given, permuted = ran(batch()), ran(batch(), permuted=True)
    assert given["learned"]
    assert given["steps"] < permuted["steps"] or not permuted["learned"]


def test_inputs_that_tell_no_samples_apart_teach_nothing() -> None:
    x, y = batch()
    facts = ran((torch.ones_like(x), y))
    assert not facts["learned"]
    assert facts["end"] > 0.5


@pytest.mark.parametrize(
    "given",
    [
        {"input_ids": torch.arange(24).view(8, 3), "labels": torch.arange(8) % 2},
        {"x": torch.randn(8, 3, 5, 5, dtype=torch.complex64), "y": torch.randn(8)},
        (torch.randn(8, 6), torch.randn(8, 2)),
        (torch.randn(8, 40_000), torch.arange(8)),
    ],
)
def test_batches_of_many_kinds_are_learned(given: Any) -> None:
    assert ran(given)["learned"]


@pytest.mark.parametrize(
    "given",
    [
        torch.randn(8, 3),
        {"input_ids": torch.zeros(4, 9).long(), "labels": torch.zeros(4, 9).long()},
        (torch.randn(8, 3), torch.full((8,), -100)),
    ],
)
def test_what_has_no_label_a_sample_is_refused(given: Any) -> None:
    with pytest.raises(ExperimentFailed):
        ran(given)
