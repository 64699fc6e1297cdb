"""A loss is taken apart into its terms, and each term's gradient is what it gives alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from traindoctor.instruments.terms import MOST_TERMS, largest_beside, term_gradients, terms_of

LABELS, TARGETS = torch.tensor([0, 2, 1]), torch.tensor([[3.0], [-1.0], [2.0]])


class Parts:
    """Three terms over a trunk that they share and heads of their own."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.trunk, self.head, self.value = (
            torch.randn(4, 5, requires_grad=True),
            torch.randn(5, 3, requires_grad=True),
            torch.randn(5, 1, requires_grad=True),
        )
        hidden = torch.randn(3, 4) @ self.trunk
        self.ce = F.cross_entropy(hidden @ self.head, LABELS)
        self.mse = F.mse_loss(hidden @ self.value, TARGETS)
        self.l1 = F.l1_loss(hidden @ self.value, TARGETS)
        self.penalty = (self.head**2).sum()

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [self.trunk, self.head, self.value]


@pytest.mark.parametrize(
    ("combine", "operations", "weights"),
    [
        (lambda p: p.ce, ["NllLoss"], [1.0]),
        (lambda p: 3 * p.ce / 4, ["NllLoss"], [1.0]),
        (lambda p: p.ce + p.mse, ["NllLoss", "MseLoss"], [1.0, 1.0]),
        (lambda p: (p.ce + 0.5 * p.mse) * 1024, ["NllLoss", "MseLoss"], [1.0, 0.5]),
        (lambda p: p.ce - p.l1 / 4, ["NllLoss", "Abs"], [1.0, 0.25]),
        (lambda p: torch.add(p.ce, p.mse, alpha=0.1), ["NllLoss", "MseLoss"], [1.0, 0.1]),
        (lambda p: sum([p.ce, p.mse]), ["NllLoss", "MseLoss"], [1.0, 1.0]),
        (lambda p: torch.stack([p.ce, p.mse]).mean(), ["NllLoss", "MseLoss"], [1.0, 1.0]),
        (lambda p: p.ce + p.mse.detach(), ["NllLoss"], [1.0]),
        (lambda p: p.ce + p.ce * p.mse, ["Add"], [1.0]),  # one is a part of the other
        (lambda p: sum(p.ce * n for n in range(MOST_TERMS + 1)), ["Add"], [1.0]),
    ],
)
def test_the_terms_of_a_sum(
    combine: Callable[[Parts], torch.Tensor], operations: list[str], weights: list[float]
) -> None:
    terms = terms_of(combine(Parts()).grad_fn)
    assert [term.operation for term in terms] == operations
    assert [term.weight for term in terms] == pytest.approx(weights)


def test_probabilities_as_targets_make_one_term() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    loss = F.cross_entropy(logits, torch.rand(3, 4).softmax(1))
    assert len(terms_of(loss.grad_fn)) == 1


def test_a_graph_that_was_freed_still_has_its_terms() -> None:
    parts = Parts()
    loss = 3 * parts.ce + parts.mse / 4
    loss.backward()
    assert [term.operation for term in terms_of(loss.grad_fn)] == ["NllLoss", "MseLoss"]


def test_a_distance_to_a_target_is_supervised_and_a_penalty_is_not() -> None:
    parts = Parts()
    loss = parts.ce + parts.mse + parts.l1 + parts.penalty + parts.head.abs().sum()
    supervised = [term.is_supervised for term in terms_of(loss.grad_fn)]
    assert supervised == [True, True, True, False, False]


def test_a_terms_gradient_is_that_of_the_term_differentiated_alone() -> None:
    parts = Parts()
    loss = parts.ce + 0.5 * parts.mse + parts.penalty
    sizes = term_gradients(loss, terms_of(loss.grad_fn), parts.parameters, torch.autograd.grad)
    alone = [
        torch.autograd.grad(term, parts.parameters, retain_graph=True, allow_unused=True)
        for term in (parts.ce, 0.5 * parts.mse, parts.penalty)
    ]
    for own, gradients in zip(sizes, alone, strict=True):
        expected = [0.0 if g is None else g.norm().item() for g in gradients]
        assert own == pytest.approx(expected)
    loss.backward()  # whose graph is still there, and whose hooks are not
    assert parts.trunk.grad is not None
    again = Parts()
    (again.ce + 0.5 * again.mse + again.penalty).backward()
    assert torch.equal(parts.trunk.grad, again.trunk.grad)


def test_the_largest_is_looked_for_where_the_term_reaches() -> None:
    trunk, head = 0, 1
    sizes = [[3.0, 4.0], [6.0, 0.0], [0.0, 9.0]]
    assert largest_beside(sizes, 1) == (0, sizes[0][trunk])
    assert largest_beside(sizes, 2) == (0, sizes[0][head])
    assert largest_beside(sizes, 0) == (2, math.hypot(0.0, 9.0))
    assert largest_beside([[3.0, 4.0]], 0) == (None, 0.0)
