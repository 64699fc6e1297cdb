"""Healthy models that forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.zoo.text_data import generator
from tests.zoo.transformers_zoo import NUM_SAMPLES, Sample, herd

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from transformers import PretrainedConfig

CONTEXT, LAGS, HORIZON = 16, 4, 8
PAST = CONTEXT + LAGS
CHANNELS = 2
NUM_SHAPES = 3


def wave(rng: Generator, length: int, shape: int) -> Tensor:
    """Return (length,) of a sine of the shape's period with a random phase, and noise."""
    import torch

    time = torch.arange(length) + 12 * torch.rand(1, generator=rng)
    clean = 2.0 + torch.sin(time * 6.28 / (6, 9, 13)[shape])
    return clean + 0.1 * torch.randn(length, generator=rng)


def histories(config: PretrainedConfig) -> list[Sample]:
    """Forecast one series from its past and the time of day, with a few values missing."""
    import torch

    samples = []
    rng = generator()
    time = torch.arange(PAST + HORIZON)[:, None] / 10.0
    for number in range(NUM_SAMPLES):
        values = wave(rng, PAST + HORIZON, number % NUM_SHAPES)
        observed = torch.ones(PAST)
        observed[int(torch.randint(PAST, (1,), generator=rng))] = 0.0
        samples.append(
            {
                "past_values": values[:PAST] * observed,
                "past_time_features": time[:PAST],
                "past_observed_mask": observed,
                "future_values": values[PAST:],
                "future_time_features": time[PAST:],
            }
        )
    return samples


def channels(config: PretrainedConfig) -> list[Sample]:
    """Forecast two series at once, as (time, channels)."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        shapes = (number % NUM_SHAPES, number // 3 % NUM_SHAPES)
        values = torch.stack([wave(rng, CONTEXT + HORIZON, shape) for shape in shapes], dim=-1)
        samples.append({"past_values": values[:CONTEXT], "future_values": values[CONTEXT:]})
    return samples


def shapes(config: PretrainedConfig) -> list[Sample]:
    """Tell which period both series have."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        shape = number % NUM_SHAPES
        values = torch.stack([wave(rng, CONTEXT, shape) for _ in range(CHANNELS)], dim=-1)
        samples.append({"past_values": values, "target_values": torch.tensor(shape)})
    return samples


_LAGGED: dict[str, Any] = {
    "prediction_length": HORIZON,
    "context_length": CONTEXT,
    "lags_sequence": list(range(1, LAGS + 1)),
    "num_time_features": 1,
}
_PATCHED: dict[str, Any] = {
    "num_input_channels": CHANNELS,
    "context_length": CONTEXT,
    "prediction_length": HORIZON,
    "patch_length": 4,
    "patch_stride": 4,
    "num_targets": NUM_SHAPES,
}

SPECIMENS = (
    herd(
        "forecast",
        histories,
        {
            "TimeSeriesTransformerForPrediction": _LAGGED,
            "InformerForPrediction": _LAGGED,
            "AutoformerForPrediction": _LAGGED | {"label_length": 4, "moving_average": 3},
        },
        quick=("TimeSeriesTransformerForPrediction",),
    )
    + herd(
        "forecast",
        channels,
        {
            "PatchTSTForPrediction": _PATCHED,
            "PatchTSMixerForPrediction": _PATCHED,
            "PatchTSTForPretraining": _PATCHED | {"do_mask_input": True},
            "PatchTSMixerForPretraining": _PATCHED,
        },
    )
    + herd(
        "series-classification",
        shapes,
        {
            "PatchTSTForClassification": _PATCHED,
            "PatchTSMixerForTimeSeriesClassification": _PATCHED,
        },
    )
)
