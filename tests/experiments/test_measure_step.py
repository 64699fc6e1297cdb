"""A step's time is the clock's, and its FLOPs are those counted by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from traindoctor.experiments import Lab, MeasureStep
from traindoctor.experiments.speed import outlook, timing
from traindoctor.target.setup import as_setup


class Ticking:
    """A clock that goes on by one second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


PLAIN = MeasureStep()


def facts(experiment: MeasureStep = PLAIN, **parts: Any) -> dict[str, Any]:
    model = nn.Linear(16, 8, bias=False)
    batch = {"input": torch.randn(4, 16)}
    given = {"model": model, "loader": [batch] * 3} | parts
    return Lab(as_setup(given), clock=Ticking()).perform(experiment).facts


def test_the_flops_of_a_step_are_those_of_its_products() -> None:
    found = facts(loss_fn=lambda outputs, batch: outputs.square().mean())
    # Forward and the gradient of the weight: two products of (4, 16) and (16, 8).
    assert found["flops"] == 2 * (2 * 4 * 16 * 8)
    assert found["batch_size"] == 4
    assert found["step_seconds"] > 0
    assert found["peak_flops"] == 2 * 768**3


def test_a_loop_that_skips_its_batches_is_idle_and_its_forward_is_timed() -> None:
    def train(model: Any, loader: Any) -> None:
        for batch in loader:
            try:
                model(batch["missing"])
            except KeyError:
                continue

    found = facts(train_loop=train)
    assert found["step_seconds"] is None
    assert found["idle_seconds"] > 0
    assert found["forward_seconds"] > 0
    assert found["flops"] == 2 * 4 * 16 * 8


def test_a_claim_is_set_beside_the_measured_speed_and_its_bound() -> None:
    measured = {
        "step_seconds": 0.05,
        "forward_seconds": None,
        "batch_size": 4,
        "flops": 4e6,
        "peak_flops": 1e9,
    }
    figures = timing(measured, (12_000, 10.0))
    assert figures["samples_per_second"] == 80.0
    assert figures["most_samples_per_second"] == 1000.0
    assert figures["claim"]["samples_per_second"] == 1200.0
    assert figures["claim"]["times_too_fast"] == 15.0
    assert figures["claim"]["times_the_bound"] == 1.2
    assert figures["claim"]["plausible_seconds"] == 150.0
    assert figures["claim"]["times_the_forward"] is None
    known = timing(measured | {"forward_rate": 600.0, "forward_size": 64}, (12_000, 10.0))
    assert known["claim"]["times_the_forward"] == 2.0


def test_a_claim_has_the_forward_timed_in_larger_batches() -> None:
    claim = MeasureStep(num_samples=100, seconds=1.0)
    loss = {"loss_fn": lambda outputs, batch: outputs.square().mean()}
    found = facts(claim, **loss)
    # Every forward takes a second of this clock, so that the first is too long to go on.
    assert (found["forward_rate"], found["forward_size"]) == (4.0, 4)
    assert found["flops"] == 2 * (2 * 4 * 16 * 8)  # the step's, not the forward's
    assert "forward_rate" not in facts(**loss)


FIGURES = {"samples_per_second": 80.0, "most_samples_per_second": 1000.0}


def expected(**told: Any) -> dict[str, Any] | None:
    given = {"samples": None, "epochs": None, "seconds": None, "in_loader": 64}
    return outlook(FIGURES, **{**given, **told})


def test_of_a_run_of_which_only_the_samples_are_told_the_time_is_said() -> None:
    found = expected(samples=4000, epochs=2)
    assert found is not None
    assert (found["samples"], found["seconds"], found["least_seconds"]) == (8000, 100.0, 8.0)


def test_of_a_run_of_which_only_the_time_is_told_the_samples_are_said() -> None:
    found = expected(seconds=10.0)
    assert found is not None
    assert (found["samples"], found["most_samples"]) == (800, 10_000)


def test_epochs_alone_are_those_of_the_loaders_own_data() -> None:
    found = expected(epochs=5)
    assert found is not None
    assert (found["samples"], found["is_loaders"]) == (320, True)
    assert expected() is None
