"""A module is built on the line that calls its class."""

from __future__ import annotations

from torch import nn

from traindoctor.target.births import births


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)


def test_constructors_of_the_object_itself_are_left() -> None:
    with births() as places:
        model = Net()
    assert places[id(model)].text == "model = Net()"
    assert places[id(model.head)].text == "self.head = nn.Linear(2, 2)"
