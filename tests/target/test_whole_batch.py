"""A forward that takes the batch apart itself is given it whole; any other its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from traindoctor.target.calling import call_model
from traindoctor.target.setup import TrainingSetup
from traindoctor.target.whole_batch import takes_whole


@dataclass
class Molecules:
    atoms: torch.Tensor
    y: torch.Tensor


class Record(NamedTuple):
    numbers: torch.Tensor
    kinds: torch.Tensor
    y: torch.Tensor


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


class Named(Scaled):
    def forward(self, batch: Any) -> torch.Tensor:
        return _atoms(batch) * self.weight


class Keyed(Scaled):
    def forward(self, data: Any) -> torch.Tensor:
        return data["atoms"] * self.weight


class Dotted(Scaled):
    def forward(self, graph: Any) -> torch.Tensor:
        return graph.atoms * self.weight


class Handing(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Keyed()

    def forward(self, x: Any) -> torch.Tensor:
        return self.encoded(x) * self.weight

    def encoded(self, molecules: Any) -> torch.Tensor:
        return self.inner(molecules)


class Annotated(Scaled):
    def forward(self, x: Record) -> torch.Tensor:
        return sum(tuple(x)) * self.weight  # type: ignore[return-value]


class AnnotatedMapping(Scaled):
    def forward(self, x: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return sum(x.values()) * self.weight  # type: ignore[return-value]


class Unpacking(Scaled):
    def forward(self, x: Any) -> torch.Tensor:
        inputs, targets = x
        return (inputs - targets) * self.weight


class Plain(Scaled):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        first, second = pixels[:1], pixels[1:]
        return torch.cat([first, second]) * self.weight


class Anything(Scaled):
    def forward(self, batch: Any, **more: Any) -> torch.Tensor:
        return batch * self.weight


def _atoms(batch: Any) -> torch.Tensor:
    return batch["atoms"] if isinstance(batch, dict) else batch.atoms


ONES = torch.ones(2)
MAPPING = {"atoms": ONES, "y": ONES}
OBJECT = Molecules(ONES, ONES)
RECORD = Record(ONES, ONES, ONES)


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (Named(), MAPPING),
        (Named(), OBJECT),
        (Keyed(), MAPPING),
        (Dotted(), OBJECT),
        (Handing(), MAPPING),
        (Annotated(), RECORD),
        (AnnotatedMapping(), MAPPING),
        (Unpacking(), (ONES, ONES)),
    ],
)
def test_given_whole(model: nn.Module, batch: Any) -> None:
    assert takes_whole(model.forward, batch)
    setup = TrainingSetup(model=model, loader=[batch], loss_fn=lambda out, batch: out.sum())
    assert call_model(model, batch, setup).shape == (2,)


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (Plain(), {"pixels": ONES, "label": ONES}),
        (Plain(), {"image": ONES, "label": ONES}),  # a key it does not take: TD001
        (Plain(), (ONES, ONES)),
        (Named(), (ONES, ONES)),  # a batch of inputs, and its targets
        (Named(), {"batch": ONES, "y": ONES}),
        (Unpacking(), (ONES, ONES, ONES)),
        (Anything(), MAPPING),
        (nn.Linear(2, 2), MAPPING),
        (nn.DataParallel(Keyed()), MAPPING),
    ],
)
def test_given_its_parts(model: nn.Module, batch: Any) -> None:
    assert not takes_whole(model.forward, batch)


def test_inputs_that_are_a_mapping_beside_targets_are_given_whole() -> None:
    model = Keyed()
    setup = TrainingSetup(model=model, loader=[(MAPPING, ONES)], loss_fn=nn.MSELoss())
    assert call_model(model, (MAPPING, ONES), setup).shape == (2,)
