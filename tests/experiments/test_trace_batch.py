"""A batch's tensors are traced to the user's lines; keys are tried without what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.experiments import ForwardKeys, Lab, OneStep, TraceBatch
from traindoctor.target.setup import TrainingSetup


@dataclass
class Batch:
    x: torch.Tensor
    ids: torch.Tensor

    def to(self, device: Any) -> Batch:
        self.x = self.x.to(device)
        return self


def collate(samples: Any) -> Batch:
    x = torch.zeros(len(samples), 3)  # made
    for row, (sample,) in enumerate(samples):
        x[row] = sample
    ids = torch.arange(len(samples))
    shifted = ids + 100  # shifted
    return Batch(x, shifted[:, None].flatten()).to("cpu")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Any = None, scale: Any = None, **kwargs: Any) -> dict[str, Any]:
        x = torch.ones(2, 3) if x is None else x
        return {"loss": self.layer(x * (1 if scale is None else scale)).pow(2).mean()}


def lab(collate_fn: Any = collate, num_workers: int = 0) -> Lab:
    data = TensorDataset(torch.randn(8, 3))
    loader = DataLoader(data, batch_size=4, collate_fn=collate_fn, num_workers=num_workers)
    return Lab(TrainingSetup(model=Net(), loader=loader))


def test_tensors_and_values_are_traced_to_their_lines() -> None:
    facts = lab().perform(TraceBatch()).facts
    assert facts["made"]["x"].text.endswith("# made")
    assert facts["made"]["ids"].text.startswith("return Batch(")
    assert facts["largest"]["ids"].text.endswith("# shifted")


def test_a_loader_that_works_elsewhere_is_not_asked() -> None:
    assert lab(num_workers=1).perform(TraceBatch()).facts == {"made": {}, "largest": {}}


def test_a_collate_function_that_raises_leaves_nothing_to_tell() -> None:
    assert lab(lambda samples: 1 / 0).perform(TraceBatch()).facts["made"] == {}


def test_a_step_can_have_its_batch_as_a_dict() -> None:
    subject = lab()
    assert subject.perform(OneStep(as_mapping=True)).batches[0].kind == "mapping"
    assert subject.perform(OneStep()).batches[0].kind == "dataclass"


def test_keys_are_tried_without_the_one_that_is_refused() -> None:
    def bad(samples: Any) -> dict[str, torch.Tensor]:
        return {"x": torch.ones(2, 7), "scale": torch.tensor(2.0), "extra": torch.rand(2)}

    facts = lab(bad).perform(ForwardKeys()).facts
    assert (facts["left_out"], facts["ignored"]) == ("x", ("extra",))
