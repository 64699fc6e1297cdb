"""Small loops that the tests of gradient handling watch, with nothing but a recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from traindoctor.instruments.backward import backwards_seen
from traindoctor.instruments.handling import handling_seen
from traindoctor.instruments.optimizer import steps_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import Trace


def network() -> nn.Sequential:
    """Return two layers, always the same."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def loss_of(model: nn.Module) -> torch.Tensor:
    """Return a loss of a fresh batch."""
    logits = model(torch.randn(16, 4))
    return nn.functional.cross_entropy(logits, torch.randint(3, (16,)))


def batches(recorder: Recorder, number: int = 6) -> Iterator[int]:
    """Count batches, as a loader would."""
    for recorder.batch in range(number):
        yield recorder.batch


@contextmanager
def watched(recorder: Recorder) -> Iterator[None]:
    """Install what watches a script: steps and backward passes without detail, and handling."""
    with (
        backwards_seen(recorder, ()),
        steps_seen(recorder, {}, (), detail=False),
        handling_seen(recorder),
    ):
        yield


def trace_of(loop: Callable[[Recorder], Any]) -> Trace:
    """Run a loop that is watched; no instrument may fail."""
    recorder = Recorder()
    with watched(recorder):
        loop(recorder)
    trace = recorder.trace()
    assert "broken_instruments" not in trace.facts
    return trace
