"""A term of the loss is called drowned where it is meant to count and hardly pulls."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.probes.asking import LINE, SETUP, asks
from torch import nn

from traindoctor.experiments import Lab, LossTerms
from traindoctor.experiments.loss_terms import MEASURED
from traindoctor.probing import Confidence, Finding, Severity
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import BackwardRow, Place, TermRow, Trace
from traindoctor_probes.loss_balance import Options, examine

OTHER = Place("/user/train.py", 20, "loss_fn", "of_price = F.mse_loss(prices, given)")
BOTH = {"largest": 1, "largest_norm": 500.0, "is_supervised": True}


def terms(norms: tuple[float, ...] = (1.0, 1.0), weight: float = 1.0, **small: Any) -> Trace:
    rows = [
        row
        for number, norm in zip(MEASURED, norms, strict=False)
        for row in (
            TermRow(
                backward=number,
                term=0,
                weight=weight,
                **{"gradient_norm": norm, "place": LINE} | BOTH | small,
            ),
            TermRow(
                backward=number,
                term=1,
                gradient_norm=500.0,
                largest=0,
                largest_norm=norm,
                place=OTHER,
            ),
        )
    ]
    return Trace(setup=SETUP, terms=tuple(rows))


def found(run: Trace, num_terms: int = 2) -> list[Finding]:
    short = Trace(backwards=(BackwardRow(index=0, step=0, batch=0, num_terms=num_terms),))
    return list(examine(asks(None, short_run=short, loss_terms=run), Options()))


def test_a_drowned_term_is_a_likely_warning_at_what_drowns_it() -> None:
    (finding,) = found(terms((1.0, 2.0)))
    assert (finding.code, finding.severity, finding.confidence) == (
        "TD115",
        Severity.WARNING,
        Confidence.LIKELY,
    )
    assert (finding.location.line, finding.also_at[0].line) == (OTHER.line, LINE.line)
    assert finding.title.startswith("One of 2 loss terms makes 99.6% of the gradient")


@pytest.mark.parametrize(
    "run",
    [
        terms((50.0, 50.0)),
        terms((0.0, 50.0)),  # a head that starts at zero
        terms((1.0, 50.0)),  # the other one is learned first
        terms((0.0, 0.0)),  # nothing to learn from it
        terms((1.0,)),  # one pass is not enough
        terms(weight=0.01),  # meant to be small
        terms(is_supervised=False),  # a penalty
        terms(place=Place()),  # inside a library
        terms(largest=None, largest_norm=0.0),
    ],
)
def test_what_is_meant_or_not_known_is_silent(run: Trace) -> None:
    assert found(run) == []


def test_a_loss_of_one_term_is_not_taken_apart() -> None:
    assert found(terms(), num_terms=1) == []


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.kind, self.value = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.trunk(x).tanh()
        return self.kind(hidden), self.value(hidden)


def of_scale(scale: float) -> Trace:
    def loss_fn(outputs: Any, batch: Any) -> torch.Tensor:
        kinds, values = outputs
        return F.cross_entropy(kinds, batch[1]) + F.mse_loss(values, scale * batch[0][:, :1])

    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(16, 4, generator=generator), torch.randint(3, (16,), generator=generator))
        for _ in range(16)
    ]
    model = Two()
    made = TrainingSetup(
        model=model,
        loader=batches,
        loss_fn=loss_fn,
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3),
    )
    return Lab(made).perform(LossTerms())


def test_real_terms_of_one_scale_end_it_early_and_of_two_are_followed() -> None:
    even, uneven = of_scale(1.0), of_scale(1e4)
    assert {row.backward for row in even.terms} == {0}
    assert len(even.backwards) < MEASURED[-1]
    assert {row.backward for row in uneven.terms} == set(MEASURED)
    assert found(even) == []
    assert len(found(uneven)) == 1
