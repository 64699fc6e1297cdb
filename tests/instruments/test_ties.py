"""Parameters that are said to be one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from traindoctor.instruments.ties import ties_apart


class Tied(nn.Module):
    """Ties its head, and lets a test do more."""

    def __init__(self, more: Any = None) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6)
        self.head.weight = self.table.weight
        if more is not None:
            more(self)


class Perhaps(nn.Module):
    """Ties its head where it is told to."""

    def __init__(self, tie: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6)
        if tie:
            self.head.weight = self.table.weight


class Configured(nn.Module):
    """Says what transformers' models say."""

    def __init__(self, says: bool) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(6, 4), nn.Linear(4, 6)
        self.config = SimpleNamespace(tie_word_embeddings=says)
        self.all_tied_weights_keys = {"head.weight": "table.weight"}


def test_one_tensor_is_one() -> None:
    assert ties_apart(Tied()) == ()


def test_a_head_that_is_built_anew_is_apart() -> None:
    model = nn.ModuleDict({"net": Tied(lambda net: setattr(net, "head", nn.Linear(4, 6)))})
    (row,) = ties_apart(model)
    assert (row.name, row.other) == ("net.head.weight", "net.table.weight")
    assert row.place.text == "self.head.weight = self.table.weight"
    net: Any = model["net"]
    assert row.difference == float((net.head.weight - net.table.weight).detach().abs().max())


def test_a_head_of_another_size_is_another_head() -> None:
    assert ties_apart(Tied(lambda net: setattr(net, "head", nn.Linear(4, 3)))) == ()


def test_a_tie_under_a_condition_is_no_promise() -> None:
    assert ties_apart(Perhaps(tie=False)) == ()


def test_a_config_that_ties_is_believed_and_one_that_does_not_is_too() -> None:
    (row,) = ties_apart(Configured(says=True))
    assert row.said_by == "config.tie_word_embeddings"
    assert ties_apart(Configured(says=False)) == ()


def test_two_parameters_in_one_memory_are_told_as_that() -> None:
    model = Perhaps(tie=False)
    model.head.weight.data = model.table.weight.data
    (row,) = ties_apart(model)
    assert row.is_one_memory
    assert row.difference == 0.0


def test_parameters_that_only_start_alike_are_two() -> None:
    model = Perhaps(tie=False)
    with torch.no_grad():
        model.head.weight.copy_(model.table.weight)
    assert ties_apart(model) == ()
