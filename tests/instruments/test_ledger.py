"""The ledger knows of each gradient whether a step used it, kept it or never saw it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from traindoctor.experiments import Lab, ShortRun
from traindoctor.instruments.ledger import Ledger
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace

A, B = frozenset({1}), frozenset({2})
NONE: frozenset[int] = frozenset()


def test_a_cleared_gradient_is_used_once() -> None:
    ledger = Ledger()
    for _ in range(2):
        ledger.backward_begins(NONE)
        ledger.backward_ends(A)
        assert ledger.step_begins(0, A, A) == (0, 0, 0)
        ledger.step_ends()
    assert ledger.discarded == []


def test_a_gradient_still_there_at_the_next_backward_pass_is_stale() -> None:
    ledger = Ledger()
    ledger.backward_ends(A)
    ledger.step_begins(0, A, A)
    ledger.step_ends()
    ledger.backward_begins(A)
    ledger.backward_ends(A)
    assert ledger.step_begins(0, A, A) == (1, 0, 0)


def test_a_gradient_emptied_before_the_step_is_cleared_and_then_discarded() -> None:
    ledger = Ledger()
    ledger.backward_ends(A)
    assert ledger.step_begins(0, A, NONE) == (0, 1, 0)
    ledger.step_ends()
    ledger.backward_begins(NONE)
    assert ledger.discarded == [0]


def test_a_generators_pass_through_its_critic_is_used_by_the_generators_step() -> None:
    ledger = Ledger()
    ledger.backward_begins(NONE)
    ledger.backward_ends(A | B)
    assert ledger.step_begins(0, A, A) == (0, 0, 0)
    ledger.step_ends()
    ledger.backward_begins(A)  # the critic's gradients were cleared, the generator's not yet
    ledger.backward_ends(A | B)
    assert ledger.step_begins(1, B, B) == (0, 0, 0)
    assert ledger.discarded == []


def test_a_gradient_that_another_optimizer_stepped_on_is_used_again_until_it_is_cleared() -> None:
    ledger = Ledger()
    ledger.backward_ends(A)
    ledger.step_begins(0, A, A)
    ledger.step_ends()
    assert ledger.step_begins(1, A | B, A) == (0, 0, 1)  # on the same backward pass
    ledger.step_ends()
    ledger.backward_begins(A)  # nobody cleared it: the next pass adds to it
    ledger.backward_ends(A)
    assert ledger.step_begins(0, A, A)[2] == 1
    ledger.step_ends()
    ledger.backward_begins(NONE)
    ledger.backward_ends(A)
    assert ledger.step_begins(1, A | B, A) == (0, 0, 0)


def test_a_step_within_a_step_uses_nothing_again() -> None:
    ledger = Ledger()
    ledger.backward_ends(A)
    ledger.step_begins(0, A, A)
    assert ledger.step_begins(1, A, A) == (0, 0, 0)


class Loop:
    """A loop by hand, with the lines in which its faults lie left to the test."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, model: nn.Module, loader: object, optimizer: torch.optim.Optimizer) -> None:
        for index, (x, y) in enumerate(loader):  # type: ignore[arg-type, var-annotated]
            if self.kind in ("plain", "skipping"):
                optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            if self.kind == "early":
                optimizer.zero_grad()
            if self.kind not in ("skipping", "accumulating") or index % 2:
                optimizer.step()
                if self.kind == "accumulating":
                    optimizer.zero_grad()


def ran(kind: str) -> Trace:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    batches = [(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(4)]
    setup = TrainingSetup(
        model=model,
        loader=batches,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        train_loop=Loop(kind),
    )
    return Lab(setup).perform(ShortRun(num_batches=4))


@pytest.mark.parametrize(
    ("kind", "stale", "cleared", "discarded"),
    [
        ("plain", 0, 0, 0),
        ("accumulating", 0, 0, 0),
        ("hoarding", 2, 0, 0),
        ("early", 0, 2, 1),
        ("skipping", 0, 0, 1),
    ],
)
def test_each_way_to_treat_gradients_is_seen_in_a_real_loop(
    kind: str, stale: int, cleared: int, discarded: int
) -> None:
    trace = ran(kind)
    assert max(row.num_stale for row in trace.steps) == stale
    assert max(row.num_cleared for row in trace.steps) == cleared
    assert bool(trace.facts["discarded_backwards"]) == bool(discarded)


def test_closures_that_lbfgs_evaluates_are_used_by_its_step() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    x, y = torch.randn(8, 3), torch.randn(8, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def train_step(model: nn.Module, batch: object, optimizer: torch.optim.LBFGS) -> torch.Tensor:
        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss

        return torch.as_tensor(optimizer.step(closure))  # type: ignore[arg-type]

    setup = TrainingSetup(model=model, loader=[x] * 6, optimizer=optimizer, train_step=train_step)
    trace = Lab(setup).perform(ShortRun())
    assert len(trace.backwards) > len(trace.steps) > 2
    assert trace.facts["discarded_backwards"] == ()
    assert {row.num_stale for row in trace.steps} == {0}


def test_weights_that_are_put_back_are_counted_at_the_next_step() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    checkpoint = {name: value.clone() for name, value in model.state_dict().items()}

    def train_step(
        model: nn.Module, batch: list[torch.Tensor], optimizer: torch.optim.Optimizer
    ) -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        model.load_state_dict(checkpoint)
        return loss

    setup = TrainingSetup(
        model=model,
        loader=[[torch.randn(4, 3), torch.randn(4, 1)] for _ in range(6)],
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        train_step=train_step,
    )
    trace = Lab(setup).perform(ShortRun())
    assert [row.num_reverted for row in trace.steps] == [0, 2, 2, 2, 2, 2]
    assert {row.num_changed for row in trace.steps} == {2}
    assert trace.facts["moved"] == ()
