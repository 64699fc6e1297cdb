"""When a curve is learning, when it is not, and when nothing can be said."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from traindoctor.experiments import Lab, OverfitBatch
from traindoctor.experiments.curves import outcome
from traindoctor.experiments.floors import Floor, floor_of
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import CriterionRow

ZERO, UNKNOWN = Floor(0.0, ""), Floor(None, "")


@pytest.mark.parametrize(
    ("losses", "floor", "learned"),
    [
        ([2.0, 1.0, 0.1, 0.05, 0.04], ZERO, True),
        ([2.3, 2.31, 2.29, 2.3, 2.3], ZERO, False),
        ([2.0, 1.5, 1.2, 1.1, 1.0], ZERO, None),
        ([2.0, math.nan], ZERO, False),
        ([100.0, 70.0, 60.0, 59.0, 59.0], UNKNOWN, True),
        ([], ZERO, None),
    ],
)
def test_a_curve_is_judged_by_how_far_it_came_towards_its_floor(
    losses: list[float], floor: Floor, learned: bool | None
) -> None:
    start = losses[0] if losses else 1.0
    assert (
        outcome(trials=[start] * 3, losses=losses, floor=floor, target=None)["learned"] is learned
    )


def test_a_target_of_the_users_decides_alone() -> None:
    judged = outcome(trials=[2.0], losses=[2.0, 1.4], floor=ZERO, target=1.5)
    assert judged["learned"] is True
    assert outcome(trials=[2.0], losses=[2.0, 1.6], floor=ZERO, target=1.5)["learned"] is False


def test_the_floor_of_label_smoothing_is_the_loss_of_the_best_logits() -> None:
    smoothing, classes = 0.1, 5
    logits = torch.zeros(1, classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits, torch.tensor([2]), label_smoothing=smoothing)
        loss.backward()
        return loss

    optimizer.step(closure)
    row = CriterionRow(
        function="cross_entropy",
        label_smoothing=smoothing,
        num_classes=classes,
        target_dtype="int64",
        value=1.7,
    )
    assert floor_of([row], 1.7).value == pytest.approx(closure().item(), abs=1e-4)


def test_a_loss_that_is_more_than_its_loss_functions_has_no_known_floor() -> None:
    row = CriterionRow(function="mse_loss", value=1.0, target_dtype="float32")
    assert floor_of([row], 1.0).value == 0.0
    assert floor_of([row], 3.5).value is None


def test_one_batch_is_learned_by_a_net_and_not_by_a_constant() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(len(x), 3)

    torch.manual_seed(0)
    batch = (torch.randn(9, 5), torch.arange(9) % 3)
    net = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 3))
    verdicts = []
    for model in (net, Constant()):
        setup = TrainingSetup(model=model, loader=[batch], loss_fn=nn.CrossEntropyLoss())
        trace = Lab(setup).perform(OverfitBatch(fresh=True, learning_rate=1e-2))
        verdicts.append(trace.facts["overfit"]["learned"])
    assert verdicts == [True, False]
