"""When a curve is learning, when it is not, and when nothing can be said."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from traindoctor.experiments import Lab, OverfitBatch
from traindoctor.experiments.curves import outcome, settled
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


def courses(losses: list[float], floor: Floor = ZERO, **more: Any) -> tuple[str, bool | None]:
    judged = outcome(trials=losses[:1] * 3, losses=losses, floor=floor, **more)
    return judged["course"], judged["learned"]


def test_a_curve_at_rest_is_told_from_one_that_falls_slowly() -> None:
    rest = [0.5 + 1.5 * 0.8**n for n in range(60)]
    slow = [2.0 - 0.005 * n for n in range(60)]
    assert courses(rest) == ("stuck", False)
    assert courses(slow) == ("falling", None)
    assert settled(rest)
    assert not settled(slow)


def test_coming_down_to_what_guessing_gives_is_no_learning() -> None:
    three_classes = Floor(0.0, "", guess=math.log(3))
    assert courses([5000.0] * 3 + [1.09] * 60) == ("reached", True)  # of a loss without classes
    assert courses([5000.0] * 3 + [1.09] * 60, three_classes) == ("stuck", False)
    assert courses([5000.0] * 3 + [40.0] * 60, three_classes) == ("stuck", False)
    assert courses([5000.0] * 3 + [0.05] * 60, three_classes) == ("reached", True)
    assert courses([5000.0 - n for n in range(60)], three_classes) == ("falling", None)
    assert courses([1.2, 0.9, 0.5, 0.08, 0.05], three_classes) == ("reached", True)
    assert courses([5000.0 + n**2 for n in range(60)], three_classes) == ("rising", False)


def test_the_loss_of_guessing_is_read_off_the_loss_function() -> None:
    row = CriterionRow(function="cross_entropy", value=9.0, target_dtype="int64", num_classes=10)
    assert floor_of([row], 9.0).guess == pytest.approx(math.log(10))
    assert floor_of([replace(row, reduction="sum")], 9.0).guess == math.inf
    binary = replace(row, function="binary_cross_entropy_with_logits")
    assert floor_of([row, binary], 18.0).guess == pytest.approx(math.log(20))
    squares = replace(row, function="mse_loss")
    assert floor_of([row, squares], 18.0).guess == math.inf


def test_a_curve_that_rises_or_rests_where_it_was_has_not_learned() -> None:
    assert courses([2.0 + 0.1 * n for n in range(40)]) == ("rising", False)
    assert courses([2.0] * 40) == ("flat", False)


def test_a_curve_that_starts_at_its_floor_says_nothing() -> None:
    assert courses([0.0] * 10) == ("at floor", None)


def test_dropout_at_rest_tells_learning_from_noise() -> None:
    noisy = [2.0, *(2.0 + (-1) ** n for n in range(60))]
    assert courses(noisy) == ("flat", None)
    assert courses(noisy, before=[2.0, 2.0], after=[0.1, 0.1]) == ("reached", True)
    assert courses(noisy, before=[2.0, 2.0], after=[2.0, 2.0]) == ("flat", False)


def test_an_objective_that_draws_noise_of_its_own_has_no_known_floor() -> None:
    falls = [2.0 - 0.01 * n for n in range(60)]
    judged = outcome(trials=[2.0], losses=falls, floor=ZERO, before=[2.0, 1.9], after=[1.4, 1.5])
    assert (judged["floor"], judged["stochastic"], judged["learned"]) == (None, True, True)


def test_optimizers_that_train_against_each_other_are_not_judged() -> None:
    assert courses([2.0 + 0.1 * n for n in range(40)], num_optimizers=2) == ("flat", None)


def test_a_likelihood_without_logarithm_has_no_floor() -> None:
    row = CriterionRow(function="nll_loss", value=1.0, target_dtype="int64", input_maximum=0.9)
    assert floor_of([row], 1.0).value is None
    picked = CriterionRow(function="log_likelihood", value=-1.0)
    assert floor_of([picked], 1.0).value == 0.0


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


def test_a_loop_of_the_users_is_served_one_batch_until_it_is_learned() -> None:
    def train_loop(model: nn.Module, loader: Any, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(100):
            x, y = next(iter(loader))
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    torch.manual_seed(0)
    batches = [(torch.randn(9, 5), torch.randint(3, (9,))) for _ in range(4)]
    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    setup = TrainingSetup(model=model, loader=batches, optimizer=optimizer, train_loop=train_loop)
    facts = Lab(setup).perform(OverfitBatch()).facts["overfit"]
    assert (facts["learned"], facts["floor"]) == (True, 0.0)
    assert facts["steps"] < 100


@pytest.mark.parametrize("sign", [1, -1])
def test_a_loss_that_falls_while_its_loss_function_rises_is_not_learning(sign: int) -> None:
    torch.manual_seed(0)
    batch = (torch.randn(9, 5), torch.arange(9) % 3)
    setup = TrainingSetup(
        model=nn.Linear(5, 3),
        loader=[batch],
        loss_fn=lambda outputs, targets: sign * F.cross_entropy(outputs, targets),
    )
    trace = Lab(setup).perform(OverfitBatch(fresh=True, learning_rate=0.1))
    assert trace.facts["overfit"]["learned"] is (sign > 0)
