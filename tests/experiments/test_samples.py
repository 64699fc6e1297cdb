"""A batch is cut to samples that differ, or not at all."""

from __future__ import annotations

import torch

from traindoctor.experiments.samples import few_samples, undisputed_samples


def test_the_samples_that_are_kept_differ_in_input_and_label() -> None:
    x = torch.tensor([[0.0], [1.0], [0.0], [2.0]])
    labels = torch.tensor([5, 5, 6, 7])
    cut = few_samples({"x": x, "labels": labels, "name": "train"}, 2)
    assert cut["x"].tolist() == [[0.0], [2.0]]
    assert cut["labels"].tolist() == [5, 7]
    assert cut["name"] == "train"


def test_without_labels_the_inputs_decide() -> None:
    assert few_samples(torch.tensor([[1.0], [1.0], [2.0]]), 2).tolist() == [[1.0], [2.0]]


def test_a_batch_of_uneven_tensors_cannot_be_cut() -> None:
    assert few_samples({"x": torch.zeros(4, 2), "boxes": torch.zeros(7, 4)}, 2) is None
    assert few_samples(torch.zeros(1, 2), 2) is None


def test_the_first_of_the_samples_that_contradict_each_other_is_kept() -> None:
    x = torch.tensor([[0.0], [1.0], [0.0], [0.0], [2.0]], dtype=torch.bfloat16)
    cut = undisputed_samples((x, torch.tensor([5, 5, 6, 5, 7])))
    assert cut[0].tolist() == [[0.0], [1.0], [0.0], [2.0]]
    assert cut[1].tolist() == [5, 5, 5, 7]


def test_a_batch_without_contradiction_or_labels_is_not_cut() -> None:
    assert undisputed_samples((torch.zeros(3, 1), torch.tensor([1, 1, 1]))) is None
    assert undisputed_samples(torch.zeros(3, 1)) is None
