"""Whatever shape a setup comes in, it is one setup; whatever is none, one sentence says why."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.errors import TargetError
from traindoctor.target.setup import TrainingSetup, as_setup
from traindoctor.trace import Place

MODEL = nn.Linear(2, 1)
LOADER = DataLoader(TensorDataset(torch.zeros(4, 2), torch.zeros(4, 1)), 2)
OPTIMIZER = torch.optim.SGD(MODEL.parameters(), lr=0.1)
LOSS = nn.MSELoss()


def test_a_tuple_is_model_loader_optimizer_loss() -> None:
    setup = as_setup((MODEL, LOADER, OPTIMIZER, LOSS))
    assert (setup.model, setup.loader, setup.loss_fn) == (MODEL, LOADER, LOSS)
    assert setup.optimizers == (OPTIMIZER,)
    assert setup.kind == "tuple"


def test_a_pair_needs_no_optimizer() -> None:
    assert as_setup((MODEL, LOADER)).optimizers == ()


def test_a_dict_names_its_parts() -> None:
    setup = as_setup({"model": MODEL, "loader": LOADER, "epochs": 3, "accumulation_steps": 2})
    assert (setup.epochs, setup.accumulation_steps, setup.kind) == (3, 2, "dict")


def test_several_optimizers_are_kept_as_given() -> None:
    pair = [OPTIMIZER, torch.optim.SGD(MODEL.parameters(), lr=1.0)]
    setup = as_setup((MODEL, LOADER, pair))
    assert setup.optimizer is pair
    assert setup.optimizers == tuple(pair)


def test_a_setup_passes_with_where_it_came_from() -> None:
    given = TrainingSetup(model=MODEL, loader=LOADER)
    place = Place("/train.py", 3)
    setup = as_setup(given, reference="train.py:setup", factory=place)
    assert (setup.reference, setup.factory, setup.kind) == ("train.py:setup", place, "setup")
    assert given.reference == ""


def test_a_generator_is_a_loader() -> None:
    assert list(as_setup((MODEL, iter([1, 2]))).loader) == [1, 2]


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (None, "did you forget `return`?"),
        (3, "returned an int; return a TrainingSetup"),
        (MODEL, "returned a Linear; return a TrainingSetup, (model, loader)"),
        ((MODEL,), "returned 1 things"),
        ((MODEL, LOADER, OPTIMIZER, LOSS, 1), "returned 5 things, a Linear, a DataLoader"),
        ((LOADER, MODEL), "the model is a DataLoader, not a torch.nn.Module"),
        ((nn.Linear, LOADER), "the model is the class Linear; call it"),
        ((MODEL, 5), "the loader is an int, which yields no batches"),
        ((MODEL, LOADER.dataset), "a TensorDataset, which yields no batches; wrap it in a Data"),
        ((MODEL, LOADER, LOSS), "the optimizer is a MSELoss, not a torch optimizer"),
        ((MODEL, LOADER, torch.optim.SGD), "the optimizer is the class SGD"),
        ((MODEL, LOADER, None, nn.MSELoss), "loss_fn is the class MSELoss"),
        ((MODEL, LOADER, None, 2), "loss_fn is an int"),
        ({"model": MODEL}, "a dict without 'loader'; it has model"),
        ({"model": MODEL, "loader": LOADER, "losss_fn": LOSS}, "did you mean 'loss_fn'?"),
        ({"model": MODEL, "train_loader": LOADER}, "did you mean 'loader'?"),
        ({"model": MODEL, "loader": LOADER, "data": 1}, "unknown key 'data'"),
        ({"model": MODEL, "loader": LOADER, "accumulation_steps": 0}, "is 0; it must be 1 or"),
        ({"model": MODEL, "loader": LOADER, "validation_loader": 1}, "the validation_loader is"),
    ],
)
def test_what_is_no_setup_is_refused_in_one_sentence(returned: Any, says: str) -> None:
    with pytest.raises(TargetError) as caught:
        as_setup(returned, reference="train.py:setup")
    message = str(caught.value)
    assert message.startswith("'train.py:setup'")
    assert says in message
    assert "\n" not in message
