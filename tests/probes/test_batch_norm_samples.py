"""Batch norm that is given one value a channel, now or at the end of the epoch."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import LINE, asks, raised, stopped
from tests.probes.running import line, module, run

from traindoctor.probing import Confidence, Finding, NoOptions
from traindoctor.trace import ModuleRow, Trace
from traindoctor_probes.batch_norm_samples import examine

LOADER = {"batch_size": 32, "num_samples": 257, "drop_last": False}


def norm(*shape: int, **facts: Any) -> ModuleRow:
    given = {"class_name": "BatchNorm1d", "input_shapes": (shape,), "call_place": line(9)}
    return module("norm", **{**given, **facts})


def at_the_end(row: ModuleRow, **loader: Any) -> list[Finding]:
    trace = run(modules=[row], setup={"trains_by_hand": False, "has_train_loop": False})
    given = asks(Trace(), short_run=trace, read_batches=Trace(facts=LOADER | loader))
    return list(examine(given, NoOptions()))


def test_torchs_refusal_is_told_with_the_module_and_the_users_line() -> None:
    row = raised(
        "ValueError",
        "Expected more than 1 value per channel when training, got input size torch.Size([1, 4])",
        module="norm",
        module_input_shapes=((1, 4),),
    )
    (finding,) = examine(asks(stopped(row)), NoOptions())
    assert (finding.code, finding.location.line) == ("TD703", LINE.line)
    assert "norm was given (1, 4)" in finding.message


def test_a_last_batch_of_one_is_told_before_it_comes() -> None:
    (finding,) = at_the_end(norm(32, 24))
    assert (finding.code, finding.location.line) == ("TD703", 9)
    assert finding.confidence is Confidence.CERTAIN


@pytest.mark.parametrize(
    ("row", "loader"),
    [
        (norm(32, 24), {"drop_last": True}),
        (norm(32, 24), {"num_samples": 258}),
        (norm(32, 24), {"num_sampled": 64}),  # a sampler that takes fewer
        (norm(32, 24, 10), {}),  # ten values a sample
        (norm(320, 24), {}),  # time steps folded into the batch
        (norm(32, 24, num_calls_training=0), {}),  # kept in eval mode
        (norm(32, 24, class_name="LayerNorm"), {}),
        (norm(32, 24), {"batch_size": None}),  # batches by a sampler of the user's
    ],
)
def test_what_still_has_a_variance_is_left_alone(row: ModuleRow, loader: dict[str, Any]) -> None:
    assert at_the_end(row, **loader) == []
