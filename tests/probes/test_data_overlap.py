"""Samples in both data sets are a leak, unless samples repeat by their nature."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.probes.asking import FACTORY, asks
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, SubsetRandomSampler, TensorDataset

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import CompareData, Lab
from traindoctor.probing import Finding, Severity
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import SetupRow, Trace
from traindoctor_probes.data_overlap import NoOptions, examine


def found(shared: int, repeated: int = 0, how: str = "values", read: int = 200) -> list[Finding]:
    facts = {
        "num_train": 1000,
        "num_validation": read,
        "num_train_read": 1000,
        "num_validation_read": read,
        "num_shared": shared,
        "num_repeated": repeated,
        "pairs": ((3, 7),),
        "how": how,
    }
    trace = Trace(setup=SetupRow(factory=FACTORY), facts=facts)
    return list(examine(asks(compare_data=trace, read_source=Trace()), NoOptions()))


@pytest.mark.parametrize(
    ("shared", "how", "severity"),
    [
        (200, "indices", Severity.ERROR),
        (30, "values", Severity.ERROR),
        (5, "values", Severity.WARNING),
        (200, "loader", Severity.WARNING),
    ],
)
def test_shared_samples_are_as_bad_as_they_are_many(
    shared: int, how: str, severity: Severity
) -> None:
    (finding,) = found(shared, how=how)
    assert (finding.code, finding.severity) == ("TD511", severity)
    assert finding.location.line == FACTORY.line
    assert "3 is 7" in finding.message


@pytest.mark.parametrize(
    ("shared", "repeated", "read"),
    [(0, 0, 200), (1, 0, 200), (100, 400, 200), (3, 0, 4)],
)
def test_chance_and_nature_are_healthy(shared: int, repeated: int, read: int) -> None:
    assert found(shared, repeated, read=read) == []


def compared(train: Any, validation: Any) -> dict[str, Any]:
    model = nn.Linear(3, 2)
    return (
        Lab(TrainingSetup(model=model, loader=train, validation_loader=validation))
        .perform(CompareData())
        .facts
    )


def data(number: int = 40) -> TensorDataset:
    torch.manual_seed(0)
    return TensorDataset(torch.randn(number, 3), torch.arange(number) % 2)


def test_parts_of_one_data_set_are_compared_by_index() -> None:
    whole = data()
    facts = compared(DataLoader(Subset(whole, range(30))), DataLoader(Subset(whole, range(25, 40))))
    assert (facts["how"], facts["num_shared"], facts["pairs"][0]) == ("indices", 5, (25, 25))
    sampler = SubsetRandomSampler(range(30))
    facts = compared(DataLoader(whole, sampler=sampler), DataLoader(Subset(whole, range(30, 40))))
    assert facts["num_shared"] == 0


def test_two_data_sets_are_compared_by_the_values_of_their_inputs() -> None:
    whole = data()
    features, labels = whole.tensors
    other = TensorDataset(features[20:24].clone(), 1 - labels[20:24])  # labelled otherwise
    facts = compared(DataLoader(whole), DataLoader(other))
    assert (facts["how"], facts["num_shared"]) == ("values", 4)
    assert facts["pairs"][0] == (0, 20)
    twice = TensorDataset(torch.cat([features, features]), torch.cat([labels, labels]))
    assert compared(DataLoader(twice), DataLoader(other))["num_repeated"] == 40


class Broken(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise OSError("no such file")


@pytest.mark.parametrize("validation", [[torch.zeros(2, 3)], DataLoader(Broken())])
def test_data_that_cannot_be_read_is_not_examined(validation: Any) -> None:
    with pytest.raises(ExperimentFailed):
        compared(DataLoader(data()), validation)


def test_without_validation_data_there_is_nothing_to_say() -> None:
    facts = compared(DataLoader(data()), None)

    assert list(examine(asks(compare_data=Trace(facts=facts)), NoOptions())) == []
