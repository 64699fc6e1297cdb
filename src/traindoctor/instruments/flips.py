"""Records when the parameters that an optimizer holds are frozen or unfrozen between its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any
from weakref import WeakKeyDictionary

from traindoctor.instruments.dynamic import Part
from traindoctor.trace import FlipRow

MOST_FLIPS = 64  # of which the last stands for the newest
MOST_NAMES = 200

_parameters_of, _requires_grad_of = itemgetter("params"), attrgetter("requires_grad")


@dataclass(slots=True)
class _Seen:
    number: int
    num_steps: int = 0
    trainable: list[bool] = field(default_factory=list)


class Flips(Part):
    """Compares `requires_grad` of what an optimizer holds with its last step."""

    def __init__(self, state: Any) -> None:
        super().__init__(state)
        self.seen: WeakKeyDictionary[Any, _Seen] = WeakKeyDictionary()  # by optimizer
        self.flips: list[FlipRow] = []

    def step_begins(self, optimizer: Any) -> None:
        """Compare what it holds with its last step."""
        seen = self.seen.get(optimizer)
        if seen is None:
            seen = self.seen[optimizer] = _Seen(len(self.seen))
        held_by_group = map(_parameters_of, optimizer.param_groups)
        trainable = [*map(_requires_grad_of, chain.from_iterable(held_by_group))]
        if trainable != seen.trainable and len(trainable) == len(seen.trainable):
            held = [p for group in optimizer.param_groups for p in group["params"]]
            self._note(seen, held, trainable)
        seen.trainable = trainable
        seen.num_steps += 1

    def _note(self, seen: _Seen, held: list[Any], trainable: list[bool]) -> None:
        changes = list(zip(held, seen.trainable, trainable, strict=True))
        frozen = [p for p, before, now in changes if before and not now]
        unfrozen = [p for p, before, now in changes if now and not before]
        row = FlipRow(
            step=seen.num_steps,
            optimizer=seen.number,
            backward=self.state.num_backwards,
            num_held=len(held),
            frozen=self._names(frozen),
            unfrozen=self._names(unfrozen),
            num_frozen=len(frozen),
            num_unfrozen=len(unfrozen),
            num_trainable=sum(trainable),
        )
        del self.flips[MOST_FLIPS - 1 :]
        self.flips.append(row)

    def write(self) -> None:
        """Write a row for each change."""
        self.state.recorder.flips[:] = self.flips

    def _names(self, parameters: list[Any]) -> tuple[str, ...]:
        known = self.state.names
        first = parameters[:MOST_NAMES]
        return tuple(known.get(id(p), f"(unnamed) {tuple(p.shape)}") for p in first)
