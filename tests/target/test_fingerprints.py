"""Batches are told apart by a sample of their elements, whatever they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from traindoctor.target.batches import describe
from traindoctor.target.fingerprints import fingerprint, leading_size


@dataclass
class Pair:
    inputs: Any
    labels: Any


BIG = torch.arange(300_000.0).reshape(3, 100_000)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(3), torch.ones(3)),
        (torch.zeros(3), torch.zeros(4)),
        ({"x": torch.zeros(2), "y": torch.ones(2)}, {"x": torch.zeros(2), "y": torch.zeros(2)}),
        (Pair(torch.zeros(2), [torch.ones(1)]), Pair(torch.zeros(2), [torch.zeros(1)])),
        (BIG, BIG + 1),
        (BIG.t(), (BIG + 1).t()),
        (torch.zeros(3, dtype=torch.bfloat16), torch.ones(3, dtype=torch.bfloat16)),
        (torch.tensor([True, False]), torch.tensor([True, True])),
    ],
)
def test_equal_batches_have_one_fingerprint_and_others_another(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "batch", [["a", 1], torch.zeros(2, device="meta"), torch.eye(2).to_sparse(), None]
)
def test_what_cannot_be_read_has_none(batch: Any) -> None:
    assert fingerprint(batch) == ""


def test_a_batch_of_many_numbers_is_not_walked_to_its_end() -> None:
    class Counted(list[Any]):
        num_read = 0

        def __getitem__(self, index: Any) -> Any:
            Counted.num_read += 1
            return super().__getitem__(index)

    assert fingerprint(Counted(range(10**6))) == ""
    assert Counted.num_read == 1


def test_the_leading_size_is_the_one_on_which_tensors_agree() -> None:
    assert leading_size((torch.zeros(4, 2), torch.zeros(4), "name")) == 4
    assert leading_size({"x": torch.zeros(4, 2), "y": torch.zeros(3)}) is None
    assert leading_size(torch.zeros(5, 1)) == 5
    assert leading_size(["a"]) is None


def test_padding_at_the_ends_of_rows_is_counted() -> None:
    ids = torch.tensor([[5, 6, 0, 0, 0], [0, 0, 7, 8, 9], [4, 5, 0, 6, 7], [1, 2, 3, 4, 0]])
    edges = {edge.value: edge for edge in describe({"ids": ids}, 0).leaves[0].edges}
    assert edges[0].share == 6 / 20
    assert edges[0].share_elsewhere == pytest.approx(1 / 20)
    assert edges[0].longest_rest == 5


def test_a_mask_of_floats_is_one_too() -> None:
    mask = torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0]])
    edges = {edge.value: edge for edge in describe({"mask": mask}, 0).leaves[0].edges}
    assert (edges[0].share, edges[0].share_elsewhere, edges[0].longest_rest) == (5 / 8, 0, 2)
    assert describe({"x": torch.rand(2, 4)}, 0).leaves[0].edges == ()
