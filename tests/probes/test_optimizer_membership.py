"""Parameters that are trained and that no optimizer holds, and those that two of them step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.probes.running import USERS
from torch import nn
from torch.nn import functional as F

from traindoctor.experiments import Lab, ReadSource, ShortRun
from traindoctor.probing import Confidence, Severity
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import GradientRow, ModuleRow, ParameterRow, Trace, TransferRow
from traindoctor_probes.optimizer_membership import outside, stepped_twice, unfrozen


def parameter(name: str, *, trained: bool = True, num_optimizers: int = 0) -> ParameterRow:
    return ParameterRow(
        name=name, shape=(4,), num_elements=4, requires_grad=trained, num_optimizers=num_optimizers
    )


def run(*parameters: ParameterRow, reached: tuple[str, ...]) -> Trace:
    gradients = tuple(GradientRow(step=0, parameter=name, rms=1.0) for name in reached)
    return Trace(parameters=parameters, gradients=gradients, optimizers=(USERS,))


LATER = Trace(facts={"unheld_later": {"late": (16, 64)}})


def test_what_is_unfrozen_on_the_way_is_told() -> None:
    seen = run(parameter("held", num_optimizers=1), parameter("late", trained=False), reached=())
    (finding,) = unfrozen(LATER, seen)
    assert finding.code == "TD401"
    assert "before step 16" in finding.message


def test_what_no_optimizer_held_from_the_start_is_one_fault_with_what_had_a_gradient_then() -> None:
    seen = run(parameter("early"), parameter("late"), reached=("early",))
    assert len(list(outside(seen))) == 1
    assert list(unfrozen(LATER, seen)) == []


def test_what_had_no_gradient_at_first_is_told_where_nothing_else_is() -> None:
    assert len(list(unfrozen(LATER, run(parameter("late"), reached=())))) == 1


def features(varied: tuple[bool, bool] = (False, False), **facts: Any) -> Trace:
    """Return a run in which an optimizer holds the head, and nobody the trunk before it."""
    rows = [replace(parameter("trunk.conv.weight"), module="trunk.conv", module_class="Conv2d")]
    for leaf, is_varied in zip(("weight", "bias"), varied, strict=True):
        norm = replace(parameter(f"trunk.norm.{leaf}"), module_class="BatchNorm2d")
        rows.append(replace(norm, module="trunk.norm", is_varied=is_varied))
    rows.append(parameter("head.weight", num_optimizers=1))
    return replace(run(*rows, reached=tuple(row.name for row in rows)), **facts)


def modes(**num_calls_training: int) -> tuple[ModuleRow, ...]:
    """Return modules that were called six times, so often of these in train mode."""
    return tuple(
        ModuleRow(path=path.removeprefix("model"), num_calls=6, num_calls_training=number)
        for path, number in num_calls_training.items()
    )


LOADED = TransferRow(path="trunk", num_given=3, num_taken=3)


def test_a_fresh_trunk_that_is_left_out_is_told() -> None:
    for varied in ((False, False), (True, False)):  # a scale may be drawn at random
        (finding,) = outside(features(varied, modules=modes(model=6, trunk=6)))
        assert finding.evidence[0].value == 3


@pytest.mark.parametrize(
    ("seen", "transfers"),
    [
        (features((True, True)), ()),
        (features(), (LOADED,)),
        (features(), (TransferRow(path="", num_given=3, num_taken=3, missing=("head.weight",)),)),
    ],
)
def test_a_trunk_that_was_trained_before_may_be_there_to_give_features(
    seen: Trace, transfers: tuple[TransferRow, ...]
) -> None:
    (finding,) = outside(seen, transfers)
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.POSSIBLE)
    assert "trained before" in finding.message


def test_a_trunk_in_eval_mode_gives_features() -> None:
    assert list(outside(features(modules=modes(model=6, trunk=0)))) == []


@pytest.mark.parametrize(
    ("seen", "transfers"),
    [
        (features(modules=modes(model=0, trunk=0)), ()),  # all of it is in eval mode
        (features(), (replace(LOADED, num_taken=0),)),
        (features(), (replace(LOADED, overwritten=("conv.weight",)),)),
    ],
)
def test_what_was_not_loaded_and_is_not_kept_in_eval_mode_is_told(
    seen: Trace, transfers: tuple[TransferRow, ...]
) -> None:
    (finding,) = outside(seen, transfers)
    assert finding.severity is Severity.ERROR


def test_a_layer_of_which_the_optimizer_holds_a_part_is_no_extractor_of_features() -> None:
    seen = features((True, True))
    held = replace(seen.parameters[2], num_optimizers=1)
    (finding,) = outside(replace(seen, parameters=(*seen.parameters[:2], held)), ())
    assert "trunk.norm.weight" in finding.message


def test_where_the_optimizer_holds_nothing_of_a_model_its_past_excuses_nothing() -> None:
    seen = features((True, True))
    rows = tuple(replace(row, num_optimizers=0) for row in seen.parameters)
    (finding,) = outside(replace(seen, parameters=rows), ())
    assert finding.evidence[0].value == 4


class TwoTasks(nn.Module):
    """Two heads on a trunk that two optimizers share."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor, head: str) -> torch.Tensor:
        """Return one task's prediction, `(batch, 1)`."""
        prediction: torch.Tensor = getattr(self, head)(self.trunk(x).relu())
        return prediction


def in_turns(model: nn.Module, batch: Any, optimizer: Any) -> torch.Tensor:
    """Step each optimizer on a backward pass of its own."""
    for one, head in zip(optimizer, "ab", strict=True):
        loss = F.mse_loss(model(batch[0], head), batch[1])
        one.zero_grad()
        loss.backward()
        one.step()
    return loss.detach()


def uncleared(model: nn.Module, batch: Any, optimizer: Any) -> torch.Tensor:
    """Clear the gradients once, before the first of the two."""
    model.zero_grad()
    for one, head in zip(optimizer, "ab", strict=True):
        loss = F.mse_loss(model(batch[0], head), batch[1])
        loss.backward()
        one.step()
    return loss.detach()


def at_once(model: nn.Module, batch: Any, optimizer: Any) -> torch.Tensor:
    """Step both optimizers on one backward pass."""
    model.zero_grad()
    loss = sum((F.mse_loss(model(batch[0], head), batch[1]) for head in "ab"), torch.zeros(()))
    loss.backward()
    for one in optimizer:
        one.step()
    return loss.detach()


@pytest.mark.parametrize(("step", "num_steps"), [(in_turns, 0), (uncleared, 6), (at_once, 6)])
def test_optimizers_may_share_parameters_but_not_a_backward_pass(step: Any, num_steps: int) -> None:
    torch.manual_seed(0)
    model = TwoTasks()
    setup = TrainingSetup(
        model=model,
        loader=[(torch.randn(4, 4), torch.randn(4, 1)) for _ in range(6)],
        optimizer=[
            torch.optim.Adam([*model.trunk.parameters(), *head.parameters()], lr=1e-3)
            for head in (model.a, model.b)
        ],
        train_step=step,
    )
    lab = Lab(setup)
    found = list(stepped_twice(lab.perform(ReadSource()), lab.perform(ShortRun())))
    assert [finding.code for finding in found] == ["TD410"] * (num_steps > 0)
    for finding in found:
        assert "trunk.weight, trunk.bias stand in 2 parameter groups" in finding.message
        assert finding.evidence[-1].value == num_steps
