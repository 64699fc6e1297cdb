"""Records where autocast is entered, and in what precision layers compute inside it and outside."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from traindoctor.instruments.dynamic import Part, State
from traindoctor.instruments.trained_modules import models_of
from traindoctor.target.usercode import user_place
from traindoctor.trace import AutocastRow, Place

MOST_REGIONS = 16
FIRST_STEP, LAST_STEP = 1, 4  # of the run, between which the layers are looked at
MOST_LAYERS = 64
CAST = ("Linear", "Conv1d", "Conv2d", "Conv3d", "Conv1D")  # what autocast casts on every device


@dataclass(slots=True)
class Region:
    """One place that enters autocast."""

    place: Place
    device_type: str
    dtype: str
    is_on: bool
    num_entries: int = 0
    num_low: int = 0
    num_full: int = 0
    device: str = ""


class Autocasts(Part):
    """Replaces the methods of `torch.autocast`; hooks some layers for a few steps."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.regions: dict[tuple[Any, ...], Region] = {}
        self.open: list[Region | None] = []
        self.handles: list[Any] = []
        self.is_looking = self.has_looked = False
        self.num_outside = 0
        self.outside_place = Place()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the methods, and take hooks off at the end."""
        import torch

        kind: Any = torch.amp.autocast_mode.autocast
        originals = {name: kind.__dict__[name] for name in ("__enter__", "__exit__")}
        for name, method in self._methods(originals).items():
            setattr(kind, name, method)
        try:
            yield
        finally:
            for name, original in originals.items():
                setattr(kind, name, original)
            self._release()

    def _methods(self, originals: dict[str, Any]) -> dict[str, Any]:
        @functools.wraps(originals["__enter__"])
        def enter(autocast: Any) -> Any:
            entered = originals["__enter__"](autocast)
            self.safely(self._entered, autocast, sys._getframe(1))
            return entered

        @functools.wraps(originals["__exit__"])
        def leave(autocast: Any, *args: Any) -> Any:
            if self.open:
                self.open.pop()
            return originals["__exit__"](autocast, *args)

        return {"__enter__": enter, "__exit__": leave}

    def _entered(self, autocast: Any, frame: Any) -> None:
        self.open.append(None)
        if self.has_looked and not self.is_looking:
            return
        place = user_place(frame)
        key = (place.file, place.line, autocast.device, autocast._enabled)
        if key not in self.regions and len(self.regions) < MOST_REGIONS:
            dtype = str(autocast.fast_dtype).removeprefix("torch.")
            self.regions[key] = Region(place, autocast.device, dtype, autocast._enabled)
        region = self.regions.get(key)
        self.open[-1] = region
        if region is not None:
            region.num_entries += self.is_looking

    def step_begins(self, optimizer: Any) -> None:
        """Look at layers from the second step on, for a few steps."""
        if self.has_looked:
            if self.is_looking and self.state.num_steps >= LAST_STEP:
                self._release()
            return
        if self.state.num_steps >= FIRST_STEP:
            self.has_looked = True
            self._look(optimizer)

    def _look(self, optimizer: Any) -> None:
        """Hook the layers that this optimizer trains, where autocast was entered at all."""
        if not self.regions:
            return
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        layers = [
            layer
            for model in models_of(held)
            for layer in model.modules()
            if type(layer).__name__ in CAST
        ]
        self.handles = [
            layer.register_forward_hook(self._computed) for layer in layers[:MOST_LAYERS]
        ]
        self.is_looking = True

    def _release(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles, self.is_looking = [], False

    def _computed(self, _layer: Any, _args: Any, output: Any) -> None:
        import torch

        if torch.compiler.is_compiling() or not isinstance(output, torch.Tensor):
            return
        is_full = output.dtype == torch.float32
        region = self.open[-1] if self.open else None
        if region is not None:
            region.num_full += is_full
            region.num_low += not is_full
            region.device = output.device.type
        elif not self.open and is_full and torch.is_grad_enabled():
            self.num_outside += 1
            self.outside_place = self.outside_place or user_place(sys._getframe(1))

    def write(self) -> None:
        """Write a row for each place that entered autocast."""
        self.state.recorder.autocasts[:] = [
            AutocastRow(
                place=region.place,
                device_type=region.device_type,
                dtype=region.dtype,
                is_on=region.is_on,
                num_entries=region.num_entries,
                num_low=region.num_low,
                num_full=region.num_full,
                num_outside=self.num_outside,
                outside_place=self.outside_place,
                device=region.device,
            )
            for region in self.regions.values()
        ]
