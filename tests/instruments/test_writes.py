"""What written values have in common, and who wrote them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.instruments.loops import loss_of, network
from torch import nn

from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.writes import Writes, pattern_of


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


def test_writes_are_counted_by_line_and_weighed_against_the_steps() -> None:
    model, recorder = network(), Recorder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Writes(recorder, dict(model.named_parameters())).watching():
        for _ in range(4):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
            moved = torch.cat([0.1 * p.grad.flatten() for p in model.parameters()]).norm()
            with torch.no_grad():
                model[0].weight.data.add_(moved / model[0].weight.numel() ** 0.5)
    (row,) = recorder.writes
    assert (row.operation, row.parameters, row.count) == ("add_", ("0.weight",), 4)
    assert "add_" in row.place.text
    assert recorder.facts["moved_elsewhere"] == pytest.approx((1.0, 1.0, 1.0), rel=1e-3)


def test_what_is_put_back_moves_nothing() -> None:
    model, recorder = network(), Recorder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Writes(recorder, dict(model.named_parameters())).watching():
        for _ in range(3):
            loss_of(model).backward()
            optimizer.step()
            kept = {key: value.clone() for key, value in model.state_dict().items()}
            model.load_state_dict({key: 0 * value for key, value in kept.items()})
            model.load_state_dict(kept)
    assert recorder.facts["moved_elsewhere"] == (0.0, 0.0)
