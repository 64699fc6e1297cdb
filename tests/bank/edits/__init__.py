"""Every planted fault, and the healthy programs that come close to one."""

from __future__ import annotations

from tests.bank.edits import (
    batch,
    control,
    data,
    dynamics,
    epochs,
    gradients,
    handling,
    labels,
    learning,
    loss,
    optimizer,
    signals,
    state,
    tensors,
    trainer,
    weights,
)

FAULTS = (
    *batch.FAULTS,
    *tensors.FAULTS,
    *labels.FAULTS,
    *loss.FAULTS,
    *gradients.FAULTS,
    *optimizer.FAULTS,
    *handling.FAULTS,
    *learning.FAULTS,
    *control.FAULTS,
    *data.FAULTS,
    *dynamics.FAULTS,
    *trainer.FAULTS,
    *epochs.FAULTS,
    *weights.FAULTS,
    *signals.FAULTS,
    *state.FAULTS,
)
NEAR_MISSES = (
    *batch.NEAR_MISSES,
    *tensors.NEAR_MISSES,
    *labels.NEAR_MISSES,
    *loss.NEAR_MISSES,
    *gradients.NEAR_MISSES,
    *optimizer.NEAR_MISSES,
    *handling.NEAR_MISSES,
    *learning.NEAR_MISSES,
    *control.NEAR_MISSES,
    *data.NEAR_MISSES,
    *dynamics.NEAR_MISSES,
    *trainer.NEAR_MISSES,
    *epochs.NEAR_MISSES,
    *weights.NEAR_MISSES,
    *signals.NEAR_MISSES,
    *state.NEAR_MISSES,
)
