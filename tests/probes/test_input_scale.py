"""Large inputs are called a fault only if standardised ones are learned much faster."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.probes.asking import batch, leaf

from traindoctor.experiments.samples import standardised
from traindoctor.probing import Finding, Severity
from traindoctor.trace import LeafRow, LossRow, Place, SetupRow, Trace
from traindoctor_probes.input_scale import NoOptions, examine, half_way, reached

BUILT = Place("/user/train.py", 50, "setup", "loader = DataLoader(data)")


def learned(*losses: float, course: str = "reached", floor: float | None = 0.0) -> Trace:
    rows = tuple(LossRow(step=i, batch=0, value=value) for i, value in enumerate(losses))
    facts = {
        "start": losses[0],
        "end": losses[-1],
        "floor": floor,
        "course": course,
        "learned": course == "reached",
    }
    return Trace(losses=rows, facts={"overfit": facts})


FAST = learned(1.0, 0.6, 0.3, 0.05)
SLOW = learned(*[1.0] * 30, 0.2)
STUCK = learned(*[1.0] * 5, course="stuck")


def features(mean: float = 300.0, std: float = 20.0, **facts: Any) -> LeafRow:
    bounds = {"minimum": mean - 2 * std, "maximum": mean + 2 * std}
    return leaf("0", 8, 3, mean=mean, std=std, **bounds, **facts)


def found(row: LeafRow, own: Trace = SLOW, other: Trace = FAST) -> list[Finding]:
    labels = leaf("1", 8, dtype="int64")
    read = Trace(setup=SetupRow(loader_place=BUILT), batches=(batch(row, labels, kind="sequence"),))

    def ask(experiment: Any) -> Trace:
        if experiment.name == "read-batches":
            return read
        return other if experiment.standardised else own

    return list(examine(ask, NoOptions()))


@pytest.mark.parametrize("own", [SLOW, STUCK])
def test_inputs_that_are_learned_faster_when_standardised_are_a_warning(own: Trace) -> None:
    (finding,) = found(features(), own)
    assert (finding.code, finding.severity) == ("TD506", Severity.WARNING)
    assert finding.location.line == BUILT.line
    assert "element 0 has mean 300, deviation 20" in finding.title
    assert "with standardised inputs in 3." in finding.message


@pytest.mark.parametrize(
    ("row", "own", "other"),
    [
        (features(0.0, 1.0), SLOW, FAST),
        (features(-5.0, 3.0), SLOW, FAST),  # log-mels
        (features(dtype="int64"), SLOW, FAST),  # ids
        (features(num_nan=1), SLOW, FAST),
        (features(), FAST, FAST),  # the model norms them by itself
        (features(), SLOW, STUCK),  # weights that were trained on inputs as they are
        (features(), learned(*[1.0] * 8, 0.2), FAST),  # few steps, either way
        (features(), learned(1.0, 0.5, floor=None), FAST),
    ],
)
def test_inputs_that_do_no_harm_are_healthy(row: LeafRow, own: Trace, other: Trace) -> None:
    assert found(row, own, other) == []


def test_half_the_way_must_be_kept() -> None:
    assert reached(learned(1.0, 0.4, 0.9, 0.4, 0.3), 0.5) == 4
    assert reached(learned(1.0, math.nan, 0.9), 0.5) is None
    assert half_way(learned(9000.0, 0.5), FAST) == 0.5  # of a start that large inputs made high


def test_each_feature_and_channel_is_standardised_and_targets_are_not() -> None:
    torch.manual_seed(0)
    tables = torch.randn(64, 3) * torch.tensor([1.0, 100.0, 0.0]) + 7
    images = torch.rand(4, 3, 5, 5) * 255
    given = {"tables": tables, "images": images, "labels": torch.full((4, 1), 9.0)}
    made = standardised(given)
    assert torch.allclose(made["tables"].std(0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4)
    assert torch.allclose(made["images"].mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert made["labels"] is given["labels"]
