"""A re-entrant checkpoint is judged by the parameters that it leaves without a gradient."""

from __future__ import annotations

import pytest
import torch
from tests.probes.asking import LINE, SETUP, asks
from torch import nn
from torch.utils.checkpoint import checkpoint

from traindoctor.experiments import Lab, ShortRun
from traindoctor.probing import Finding, Severity
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import GradientRow, ModuleRow, ParameterRow, Trace, WarningRow
from traindoctor_probes.checkpointed_parts import NoOptions, examine

SAID = "None of the inputs have requires_grad=True. Gradients will be None"


def run(*lost: str, said: str = SAID, frozen: bool = False) -> Trace:
    names = ("stem.weight", "head.weight")
    return Trace(
        setup=SETUP,
        warnings=(WarningRow(category="UserWarning", message=said, place=LINE),),
        parameters=tuple(
            ParameterRow(name=name, module=name[:4], requires_grad=not frozen) for name in names
        ),
        modules=(
            ModuleRow(path="stem", num_calls=3, num_calls_without_grad=3),
            ModuleRow(path="head", num_calls=3),
        ),
        gradients=tuple(
            GradientRow(step=step, parameter=name, is_none=name in lost)
            for step in range(3)
            for name in names
        ),
    )


def found(short: Trace) -> list[Finding]:
    return list(examine(asks(None, short_run=short), NoOptions()))


def test_parameters_inside_without_gradient_are_an_error_at_the_checkpoints_line() -> None:
    (finding,) = found(run("stem.weight"))
    assert (finding.code, finding.severity) == ("TD306", Severity.ERROR)
    assert finding.location.line == LINE.line
    assert finding.title == (
        "A re-entrant checkpoint takes the gradient from 1 trainable parameter"
    )
    assert finding.quote == SAID


def test_what_lacks_a_gradient_outside_of_it_is_not_its_fault() -> None:
    (finding,) = found(run("stem.weight", "head.weight"))
    assert finding.message.count("head.weight") == 0


@pytest.mark.parametrize(
    "short",
    [
        run(),  # inputs in a list: torch warns, and the gradients flow
        run("stem.weight", said="something else"),
        run("stem.weight", frozen=True),
    ],
)
def test_without_lost_parameters_or_the_warning_it_is_healthy(short: Trace) -> None:
    assert found(short) == []


class Net(nn.Module):
    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(2, 3), nn.Linear(3, 1)
        self.use_reentrant = use_reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = checkpoint(self.stem, x, use_reentrant=self.use_reentrant)
        return self.head(hidden).mean()


@pytest.mark.parametrize(("use_reentrant", "number"), [(True, 1), (False, 0)])
def test_of_real_checkpoints_the_re_entrant_one_cuts(use_reentrant: bool, number: int) -> None:
    model = Net(use_reentrant)
    made = TrainingSetup(
        model=model,
        loader=[(torch.randn(4, 2), torch.zeros(4))] * 3,
        loss_fn=lambda outputs, _: outputs,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
    )
    findings = found(Lab(made).perform(ShortRun()))
    assert len(findings) == number
    assert all("stem." in finding.subject for finding in findings)
    assert not any("head." in finding.subject for finding in findings)
