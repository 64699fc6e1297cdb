"""Everything that is done to gradients between a loss and the weights, and to the rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from traindoctor.instruments.checkpoints import checkpoints_seen
from traindoctor.instruments.clipping import clipping_seen
from traindoctor.instruments.order import order_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.scaler import scalers_seen
from traindoctor.instruments.schedulers import schedulers_seen
from traindoctor.target.checkpoints import Checkpoints
from traindoctor.trace import Place


@contextmanager
def handling_seen(
    recorder: Recorder,
    optimizers: Sequence[Any] = (),
    schedulers: Sequence[Any] = (),
    places: Mapping[int, Place] | None = None,
    checkpoints: Checkpoints | None = None,
) -> Iterator[None]:
    """Record clipping, scalers, schedulers, checkpoints and the order of steps while inside.

    A recorder is all it needs; constant memory, and no value of a tensor is read before the
    recorder is asked for its trace.

    Args:
        recorder: its trace has the tables handling, clips, schedulers, scalers and checkpoints.
        optimizers: that were built before.
        schedulers: that were built before.
        places: where those were built, by `id`.
        checkpoints: that were read before.
    """
    with ExitStack() as stack:
        stack.enter_context(order_seen(recorder, optimizers))
        stack.enter_context(clipping_seen(recorder))
        stack.enter_context(scalers_seen(recorder))
        stack.enter_context(schedulers_seen(recorder, schedulers, places))
        stack.enter_context(checkpoints_seen(recorder, checkpoints))
        yield
