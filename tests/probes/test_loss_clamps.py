"""A clamp beside a loss function is judged by how much it holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.probes.asking import LINE, SETUP, asks
from torch import nn

from traindoctor.experiments import Lab, OneStep
from traindoctor.probing import Finding, Severity
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes.loss_clamps import NoOptions, examine


def step(**facts: Any) -> Trace:
    row = CriterionRow(function="cross_entropy", clamp_place=LINE, **facts)
    return Trace(setup=SETUP, criteria=(row,))


def trained(learned: bool, **facts: Any) -> Trace:
    return Trace(criteria=step(**facts).criteria, facts={"overfit": {"learned": learned}})


def found(first: Trace, later: Trace | None = None) -> list[Finding]:
    others = {} if later is None else {"overfit_batch": later}
    return list(examine(asks(first, **others), NoOptions()))


@pytest.mark.parametrize("name", ["input_share_clamped", "value_share_clamped"])
def test_a_clamp_that_holds_much_is_an_error_at_its_line(name: str) -> None:
    (finding,) = found(step(**{name: 0.6}))
    assert (finding.code, finding.severity) == ("TD114", Severity.ERROR)
    assert finding.location.line == LINE.line
    assert finding.title.startswith("A clamp takes the gradient from 60%")


def test_one_that_bites_later_is_found_where_the_batch_is_not_learned() -> None:
    first = step(input_operation="clamp")
    (finding,) = found(first, trained(False, input_share_clamped=0.9))
    assert finding.message.startswith("Once one batch has been trained on")


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (step(value_share_clamped=0.1), None),
        # Probabilities at their bound, of a batch that is learned.
        (step(input_operation="clamp"), trained(True, input_share_clamped=0.9)),
        (step(input_operation="clamp"), None),
        (Trace(), trained(False, input_share_clamped=0.9)),
    ],
)
def test_a_clamp_that_holds_little_is_healthy(first: Trace, later: Trace | None) -> None:
    assert found(first, later) == []


def seen(forward: Any, loss_fn: Any) -> CriterionRow:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return forward(self.scale * x)

    x = torch.tensor([[-3.0, 0.5], [2.0, 0.1], [0.2, 0.3], [0.4, 5.0]])
    made = TrainingSetup(model=Net(), loader=[(x, torch.zeros(4).long())], loss_fn=loss_fn)
    (row,) = Lab(made).perform(OneStep()).criteria
    return row


def test_the_share_is_that_of_the_elements_that_a_clamp_changed() -> None:
    row = seen(lambda x: x.clamp(-1, 1).float(), F.cross_entropy)
    assert row.input_share_clamped == 3 / 8
    assert row.clamp_place.function == "<lambda>"
    assert seen(lambda x: x.clamp(-9, 9), F.cross_entropy).input_share_clamped == 0


def test_of_a_value_only_what_was_lowered_counts() -> None:
    def capped(outputs: Any, labels: Any) -> Any:
        return F.cross_entropy(outputs, labels, reduction="none").clamp(0.5, 1.0).mean()

    x = torch.tensor([[-3.0, 0.5], [2.0, 0.1], [0.2, 0.3], [0.4, 5.0]])
    losses = F.cross_entropy(x, torch.zeros(4).long(), reduction="none")
    row = seen(lambda x: x, capped)
    assert row.value_share_clamped == (losses > 1).float().mean().item() == 0.5
