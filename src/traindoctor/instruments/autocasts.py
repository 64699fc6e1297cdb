"""Records where autocast is entered, and in what precision layers compute inside it and outside."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from traindoctor.instruments.dynamic import Part, State
from traindoctor.target.usercode import user_place
from traindoctor.trace import AutocastRow, Place

MOST_REGIONS = 16
FIRST_STEP, LAST_STEP = 1, 4  # of the run, between which the layers are looked at
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
    """Replaces the methods of `torch.autocast`; looks at layers for a few steps."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.regions: dict[tuple[Any, ...], Region] = {}
        self.open: list[Region | None] = []
        self.is_looking = self.has_looked = False
        self.num_outside = 0
        self.call_place = self.outside_place = Place()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the methods for as long as it is open."""
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

    def step_begins(self, _optimizer: Any) -> None:
        """Look at layers from the second step on, for a few steps, where autocast was entered."""
        steps = self.state.num_steps
        if steps > LAST_STEP:
            return
        self.is_looking = bool(self.regions) and FIRST_STEP <= steps < LAST_STEP
        self.has_looked = self.has_looked or steps >= FIRST_STEP
        if self.is_looking:
            self.state.inside.add(self)
        else:
            self.state.inside.discard(self)

    def call_begins(self, _module: Any) -> None:
        """Note where the model is called."""
        if self.is_looking:
            self.call_place = user_place(sys._getframe(1))

    def inner_ends(self, module: Any, output: Any) -> None:
        """Note the precision in which a layer computed."""
        import torch

        is_cast = self.is_looking and type(module).__name__ in CAST
        if not is_cast or not isinstance(output, torch.Tensor):
            return
        is_full = output.dtype == torch.float32
        region = self.open[-1] if self.open else None
        if region is not None:
            region.num_full += is_full
            region.num_low += not is_full
            region.device = output.device.type
        elif not self.open and is_full and torch.is_grad_enabled():
            self.num_outside += 1
            self.outside_place = self.outside_place or self.call_place

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
