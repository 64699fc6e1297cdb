"""What written values have in common, and who wrote them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.instruments.loops import loss_of, network
from torch import nn

from traindoctor.instruments.gaps import pattern_of
from traindoctor.instruments.optimizer import steps_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.writes import Writes


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda w: w, None),
        (lambda w: w * (torch.rand_like(w) > 0.5), "mask"),
        (lambda w: w.clamp(-0.3, 0.3), "bound"),
        (lambda w: 0.9 * w, "scale"),
        (lambda w: nn.functional.normalize(w, dim=1), "rows"),
        (lambda w: torch.cat([w[:6], torch.ones(2, 5)]), "part"),
        (torch.randn_like, "values"),
        (lambda w: 0.5 * w + 0.5 * torch.ones_like(w), "values"),
    ],
)
def test_projections_have_a_pattern(
    change: Callable[[torch.Tensor], torch.Tensor], pattern: str | None
) -> None:
    torch.manual_seed(0)
    before = torch.randn(8, 5)
    found = pattern_of(before, change(before))
    assert (found[0] if found else None) == pattern


def trained(between: Callable[[nn.Module], None], number: int = 5) -> Recorder:
    """Take steps that are watched in detail, with something in between."""
    model, recorder = network(), Recorder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    with steps_seen(recorder, names):
        for _ in range(number):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
            between(model)
    return recorder


def test_what_other_code_does_between_steps_is_weighed_against_them() -> None:
    moved: list[float] = []

    def add_as_much_as_the_step(model: nn.Module) -> None:
        update = torch.cat([0.1 * p.grad.flatten() for p in model.parameters()]).norm()
        weight = model.get_parameter("0.weight")
        with torch.no_grad():
            weight.add_(update / weight.numel() ** 0.5)
        moved.append(float(update))

    recorder = trained(add_as_much_as_the_step)
    (row,) = recorder.trace().writes
    assert (row.pattern, row.parameters, row.steps) == ("values", ("0.weight",), (2, 3, 4))
    assert recorder.facts["moved_elsewhere"] == pytest.approx((1.0,) * 3, rel=1e-3)
    assert [step.num_elsewhere for step in recorder.steps] == [0, 1, 1, 1, 1]


def test_what_is_put_back_moves_nothing_and_nothing_is_kept() -> None:
    def swap(model: nn.Module) -> None:
        kept = {key: value.clone() for key, value in model.state_dict().items()}
        model.load_state_dict({key: 0 * value for key, value in kept.items()})
        model.load_state_dict(kept)

    recorder = trained(swap)
    assert recorder.trace().writes == ()
    assert "moved_elsewhere" not in recorder.facts


def test_two_optimizers_in_turn_are_not_other_code() -> None:
    model, recorder = network(), Recorder()
    optimizers = [torch.optim.SGD(model.parameters(), lr=rate) for rate in (0.1, 0.2)]
    with steps_seen(recorder, {}):
        for _ in range(3):
            for optimizer in optimizers:
                loss_of(model).backward()
                optimizer.step()
    assert not any(step.num_elsewhere for step in recorder.steps)


def test_writes_are_counted_by_line_and_operation() -> None:
    model, recorder = network(), Recorder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Writes(recorder, dict(model.named_parameters())).watching():
        for _ in range(4):
            loss_of(model).backward()
            optimizer.step()
            model[0].weight.data.mul_(0.5)
            model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()})
    halved, *given = recorder.trace().writes
    assert (halved.operation, halved.parameters, halved.count) == ("mul_", ("0.weight",), 4)
    assert (halved.pattern, halved.factor) == ("scale", pytest.approx(0.5))
    assert "mul_" in halved.place.text
    assert {(row.operation, row.count) for row in given} == {("copy_", 16)}
    assert all("load_state_dict" in row.place.text for row in given)
