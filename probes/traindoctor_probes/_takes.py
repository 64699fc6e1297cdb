"""What shape a module of torch takes, from its attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Attributes = Mapping[str, Any]

_SPACE = {"1d": "length", "2d": "height, width", "3d": "depth, height, width"}


def takes(class_name: str, attributes: Attributes) -> str:
    """Return the input shape as text, such as `(batch, 3, height, width)`; empty if unknown."""
    for ending, space in _SPACE.items():
        if class_name.lower().endswith(ending) and "in_channels" in attributes:
            return f"(batch, {attributes['in_channels']}, {space})"
        if class_name.lower().endswith(ending) and "num_features" in attributes:
            features = attributes["num_features"]
            if ending == "1d":
                return f"(batch, {features}) or (batch, {features}, length)"
            return f"(batch, {features}, {space})"
        if class_name.endswith(f"Pool{ending}"):
            return f"(batch, channels, {space})"
    form = _FORMS.get(class_name)
    return form(attributes) if form else ""


def _recurrent(given: Attributes) -> str:
    first = "batch, time" if given.get("batch_first") else "time, batch"
    return f"({first}, {given.get('input_size')})"


def _normalised(given: Attributes) -> str:
    shape = given.get("normalized_shape", ())
    return f"(..., {', '.join(str(size) for size in shape)})"


_FORMS: dict[str, Callable[[Attributes], str]] = {
    "Linear": lambda given: f"(..., {given.get('in_features')})",
    "Embedding": lambda given: f"(batch, time) of ids below {given.get('num_embeddings')}",
    "LayerNorm": _normalised,
    "RMSNorm": _normalised,
    "RNN": _recurrent,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNNCell": lambda given: f"(batch, {given.get('input_size')})",
    "GRUCell": lambda given: f"(batch, {given.get('input_size')})",
    "LSTMCell": lambda given: f"(batch, {given.get('input_size')})",
}
