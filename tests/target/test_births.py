"""A module is built on the line that calls its class."""

from __future__ import annotations

from typing import Any

from torch import nn

from traindoctor.target.births import births
from traindoctor.target.patches import replaced


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)


def test_constructors_of_the_object_itself_are_left() -> None:
    with births() as places:
        model = Net()
    assert places[id(model)].text == "model = Net()"
    assert places[id(model.head)].text == "self.head = nn.Linear(2, 2)"


def test_another_instruments_replacement_is_left_as_well() -> None:
    def passing_on(original: Any) -> Any:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)

        return init

    with births() as places, replaced(nn.Module, "__init__", passing_on):
        model = Net()
    assert places[id(model)].text == "model = Net()"
