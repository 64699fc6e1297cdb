"""Measures what layers hand on: the size of it, and the units that never do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.probabilities import Probabilities
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.trace import Place, SignalRow

if TYPE_CHECKING:
    import torch

LAYERS = ("linear", "conv1d", "conv2d", "conv3d")
ACTIVATIONS = {"relu": "relu", "relu_": "relu", "sigmoid": "sigmoid", "tanh": "tanh"}
FLAT = 0.01  # of an activation's steepest slope: a unit that never has more is saturated
MOST_ROWS = 400  # of layers and activations in one forward pass

Key = tuple[str, str, Place, int]  # operation, module, place, and which of its calls in a batch


@dataclass(slots=True)
class _Units:
    order: int
    alive: torch.Tensor  # (units,), ever
    num_values: int = 0  # of the unit with the least of them


class Signals:
    """A listener of `Flow`: operations that compute for training, batch by batch."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.layers: dict[Key, SignalRow] = {}
        self.units: dict[Key, _Units] = {}
        self.probabilities = Probabilities()
        self.answered: set[Key] = set()  # activations that a gradient came back to
        self.calls: Counter[tuple[str, str, Place]] = Counter()
        self.batch = -1
        self.by_channel: set[tuple[int, ...]] = set()  # shapes (batch, channel, time)

    def __call__(self, name: str, _function: Any, args: Any, _kwargs: Any, output: Any) -> None:
        """Take in one operation."""
        import torch

        self.probabilities.saw(name, args, output)
        if name not in LAYERS and name not in ACTIVATIONS:
            return
        is_signal = isinstance(output, torch.Tensor) and output.is_floating_point()
        if not is_signal or not output.requires_grad or output.ndim < 2 or output.is_meta:
            return
        if self.recorder.batch != self.batch:
            self.calls.clear()
            self.batch = self.recorder.batch
        key = self._key(ACTIVATIONS.get(name, name))
        if name == "conv1d":
            self.by_channel.add(tuple(output.shape))
        if name in LAYERS and key not in self.layers and len(self.layers) < MOST_ROWS:
            self.layers[key] = self._layer(key, output.detach())
        elif name in ACTIVATIONS and (key in self.units or len(self.units) < MOST_ROWS):
            self._activation(key, ACTIVATIONS[name], output.detach())
            output.register_hook(lambda _: self.answered.add(key))
            if name == "sigmoid":
                self.probabilities.add(output, key)

    def _key(self, name: str) -> Key:
        running = self.recorder.running
        site = (name, running[-1]["module"] if running else "", here())
        self.calls[site] += 1
        return (*site, self.calls[site])

    def _layer(self, key: Key, output: torch.Tensor) -> SignalRow:
        value = output.float()
        apart = value.std(0, correction=0) if len(value) > 1 else value[0] * 0
        return SignalRow(
            order=len(self.layers),
            operation=key[0],
            module=key[1],
            place=key[2],
            batch=self.batch,
            num_units=value.shape[1 if key[0] != "linear" else -1],
            rms=float(value.square().mean().sqrt()),
            spread=float(apart.square().mean().sqrt()),
        )

    def _activation(self, key: Key, name: str, output: torch.Tensor) -> None:
        is_last = output.ndim == 3 and tuple(output.shape) not in self.by_channel
        rows = output.movedim(-1 if is_last else 1, 0).flatten(1)  # (units, values)
        alive = (_slope(name, rows.float()) >= FLAT).any(1) | rows.isnan().any(
            1
        )  # NaN tells nothing
        seen = self.units.get(key)
        if seen is None:
            self.units[key] = _Units(len(self.units), alive, rows.shape[1])
        elif seen.alive.shape == alive.shape:
            seen.alive |= alive
            seen.num_values += rows.shape[1]

    def rows(self) -> tuple[SignalRow, ...]:
        """Return a row for each layer, and one for each activation."""
        activations = tuple(
            SignalRow(
                order=units.order,
                operation=key[0],
                module=key[1],
                place=key[2],
                num_units=len(units.alive),
                num_dead=int((~units.alive).sum()),
                num_values=units.num_values,
                is_probability=key in self.probabilities.used,
                has_gradient=key in self.answered,
            )
            for key, units in self.units.items()
        )
        return (*self.layers.values(), *activations)


def _slope(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return an activation's slope where it returned these values, its steepest being 1."""
    if name == "relu":
        return (value > 0).float()
    return 4 * value * (1 - value) if name == "sigmoid" else 1 - value.square()
