"""What was learned in train mode must be right in eval mode, once statistics have settled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.probes.asking import FORWARD, SETUP, asks
from torch import nn

from traindoctor.errors import CannotJudge
from traindoctor.experiments.both_modes import in_both_modes
from traindoctor.probing import Finding, Severity
from traindoctor.trace import ModuleRow, Place, Trace
from traindoctor_probes.eval_mode import NoOptions, examine

BUILT = Place("/user/model.py", 5, "Net.__init__", "self.norm = nn.BatchNorm1d(8)")
LEARNED = {"start": 2.0, "end": 0.01, "floor": 0.0, "steps": 30}
WRONG = {
    "at_once": 3.0,
    "settled": 2.5,
    "culprits": ("norm",),
    "kind": "BatchNorm",
    "has_settled": True,
}


def found(**facts: Any) -> list[Finding]:
    modes = {**WRONG, **facts}
    trace = Trace(
        setup=SETUP,
        modules=(ModuleRow(path="norm", class_name="BatchNorm1d", place=BUILT),),
        facts={"overfit": LEARNED, "modes": modes},
    )
    return list(examine(asks(overfit_batch=trace), NoOptions()))


def test_a_norm_whose_statistics_do_not_fit_is_named_where_it_is_built() -> None:
    (finding,) = found()
    assert (finding.code, finding.severity) == ("TD602", Severity.WARNING)
    assert finding.location.line == BUILT.line
    assert "the loss 2.5 in eval mode" in finding.title


def test_a_branch_of_the_users_own_is_looked_for_in_the_forward() -> None:
    (finding,) = found(kind="own", culprits=())
    assert finding.location.line == FORWARD.line
    assert "With the model alone back in train mode" in finding.message


@pytest.mark.parametrize(
    "facts",
    [
        {"settled": 0.2},  # the statistics lagged behind the weights
        {"settled": None},  # the forward gives no loss in eval mode
        {"kind": "", "culprits": ()},  # nobody knows why
    ],
)
def test_what_settles_or_cannot_be_traced_is_healthy(facts: Any) -> None:
    assert found(**facts) == []


def test_statistics_too_slow_to_settle_are_not_judged() -> None:
    with pytest.raises(CannotJudge):
        found(has_settled=False)


class Net(nn.Module):
    def __init__(self, momentum: float = 0.1, is_turned: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1, momentum=momentum)
        self.is_turned = is_turned

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -self.norm(x) if self.is_turned and not self.training else self.norm(x)


def modes_of(net: Net) -> dict[str, Any]:
    x = torch.arange(8.0)[:, None] * 10
    target = net.train()(x).detach()
    net.norm.reset_running_stats()

    def loss() -> float:
        with torch.no_grad():
            return (net(x) - target).square().mean().item()

    return in_both_modes(net, loss, start=0.5, floor=0.0, has_time=lambda: True)


@pytest.mark.parametrize(
    ("net", "kind", "has_settled"),
    [
        (Net(momentum=0.0), "BatchNorm", True),
        (Net(momentum=0.001), "BatchNorm", False),
        (Net(is_turned=True), "own", True),
    ],
)
def test_the_culprit_is_what_makes_it_right_alone(net: Net, kind: str, has_settled: bool) -> None:
    modes = modes_of(net)
    assert (modes["kind"], modes["has_settled"]) == (kind, has_settled)
    assert modes["settled"] > 0.25


def test_statistics_that_only_lag_are_right_once_they_have_followed() -> None:
    modes = modes_of(Net())
    assert modes["at_once"] > 1
    assert modes["settled"] < 0.25
    assert modes["kind"] == ""
