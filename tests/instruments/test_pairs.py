"""Losses that are written out are known by what they do, and near misses of them are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import CriterionRow

LABELS = torch.tensor([0, 1, 2, 1, 0, 2])


def rows(loss_of: Callable[[torch.Tensor], torch.Tensor], width: int) -> list[CriterionRow]:
    """Return what is seen of a loss of a layer's output of shape (6, width)."""
    torch.manual_seed(0)
    layer, recorder = nn.Linear(4, width), Recorder()
    criteria = Criteria(recorder)
    with Flow(recorder, {}, list(layer.parameters()), [criteria]).watching():
        loss = loss_of(layer(torch.randn(6, 4)))
    loss.backward()
    return criteria.finish()


def target() -> torch.Tensor:
    return torch.linspace(-1, 1, 6)


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda out: (out - target()).square().mean(),
        lambda out: ((out - target()) ** 2).sum(),
        lambda out: (target() - out).abs().mean(),
        lambda out: (out.sigmoid() - target()).pow(2).mean(),
    ],
)
def test_all_pairs_of_a_column_and_a_row_come_to_one_number(
    loss_of: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    (row,) = rows(loss_of, 1)
    assert (row.input_shape, row.target_shape) == ((6, 1), (6,))
    assert (row.input_operation, row.reduction != "none") == ("linear", True)


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda out: (-(out - target()).square()).exp().mean(),  # a kernel over all pairs
        lambda out: (out - target()).square().min(1).values.mean(),  # the nearest of some levels
        lambda out: (out.squeeze(1)[:, None] - target()).square().mean(),  # pairs, written out
    ],
)
def test_pairs_that_are_meant_do_not(loss_of: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert not any(
        r.input_operation == "linear" and r.reduction != "none" for r in rows(loss_of, 1)
    )


def picked(log_probs: torch.Tensor) -> torch.Tensor:
    return log_probs[torch.arange(6), LABELS].mean()


@pytest.mark.parametrize(
    ("loss_of", "sign"),
    [
        (lambda out: -picked(out - out.logsumexp(dim=1, keepdim=True)), -1),
        (lambda out: picked(out - torch.logsumexp(out, 1, True)), 1),
        (lambda out: -picked(out.log_softmax(1)), -1),
    ],
)
def test_a_likelihood_without_log_softmax_is_one(
    loss_of: Callable[[torch.Tensor], torch.Tensor], sign: int
) -> None:
    (row,) = rows(loss_of, 3)
    assert (row.function, row.gradient_sign) == ("log_likelihood", sign)


def partial(out: torch.Tensor) -> torch.Tensor:
    out = out[:, 0]
    return (out - out.logcumsumexp(0)) * torch.tensor([1.0, 0, 1, 1, 0, 1])


@pytest.mark.parametrize(("side", "sign"), [(-1, -1), (1, 1)])
def test_a_partial_likelihood_is_one_with_some_of_its_terms(side: int, sign: int) -> None:
    (row,) = rows(lambda out: side * partial(out).sum() / 4, 1)
    assert (row.function, row.gradient_sign) == ("partial_likelihood", sign)
    assert row.value is not None
    assert row.value <= 0


@pytest.mark.parametrize(
    ("loss_of", "function"),
    [
        (lambda e: torch.maximum(0.9 * e, -0.1 * e).mean(), "opposed_maximum"),
        (lambda e: torch.max((0.9 - 1) * e, 0.9 * e).sum(1).mean(), "opposed_maximum"),
        (lambda e: torch.minimum(0.9 * e, -0.1 * e).mean(), "opposed_minimum"),
    ],
)
def test_the_sides_of_a_quantiles_loss_are_opposites(
    loss_of: Callable[[torch.Tensor], torch.Tensor], function: str
) -> None:
    (row,) = rows(lambda out: loss_of(out - 0.3), 3)
    assert (row.function, row.gradient_sign) == (function, 1)


def test_a_clipped_ratio_and_a_hinge_are_not_of_opposites() -> None:
    gain = torch.tensor([[1.0], [-2], [0.5], [1], [-1], [3]])
    seen = rows(
        lambda out: (
            -torch.min(out.exp() * gain, out.exp().clamp(0.8, 1.2) * gain).mean()
            + torch.maximum(1 - out, torch.zeros_like(out)).mean()
            + out.max(1).values.mean()
        ),
        3,
    )
    assert seen == []


def test_what_another_tensors_sum_is_taken_off_is_none() -> None:
    other = torch.randn(6, 3)
    seen = rows(lambda out: picked(out - other.logsumexp(1, keepdim=True)), 3)
    assert "log_likelihood" not in {row.function for row in seen}
