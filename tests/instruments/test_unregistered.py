"""What a plain attribute hides from nn.Module is found, once, and nothing else is."""

from __future__ import annotations

import torch
from torch import nn

from traindoctor.experiments import Lab, OneStep
from traindoctor.instruments.unregistered import places_among, unregistered, unregistered_rows
from traindoctor.target.setup import TrainingSetup


class Hiding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 3)
        self.layers = [nn.Linear(3, 3), nn.Linear(3, 3)]
        self.nested = {"a": [(nn.Linear(3, 3),)]}
        self.scale = torch.ones(3, requires_grad=True)
        self.constant = torch.ones(3)
        self.parts = [self.stem, *self.layers]
        self.unused = [nn.Linear(3, 3)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.scale * self.nested["a"][0][0](x)


def test_lists_dicts_and_plain_tensors_are_found_and_each_thing_once() -> None:
    found = unregistered(Hiding())
    assert {name: len(items) for (_, name), items in found.items()} == {
        "layers": 2,
        "nested": 1,
        "scale": 1,
        "unused": 1,
    }


def test_rows_count_weights_and_what_an_optimizer_was_given() -> None:
    model = Hiding()
    rows = unregistered_rows(model, unregistered(model), model.layers[0].parameters())
    row = next(row for row in rows if row.holder == "layers")
    assert (row.num_trainable, row.class_name, row.is_registered) == (24, "Linear", False)
    assert row.attributes == {
        "num_items": 2,
        "container": "list",
        "num_tensors": 4,
        "num_held": 2,
    }
    assert row.place.text == "self.layers = [nn.Linear(3, 3), nn.Linear(3, 3)]"


def test_a_step_tells_what_of_it_the_loss_descends_from() -> None:
    setup = TrainingSetup(
        model=Hiding(), loader=[(torch.ones(2, 3), torch.zeros(2, 3))], loss_fn=nn.MSELoss()
    )
    trace = Lab(setup).perform(OneStep())
    names = {name for _, name in trace.facts["unregistered_in_graph"]}
    assert names == {"layers", "nested", "scale"}


def test_a_model_that_registers_everything_hides_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    assert unregistered(model) == {}
    assert places_among({}, {id(p) for p in model.parameters()}) == ()
