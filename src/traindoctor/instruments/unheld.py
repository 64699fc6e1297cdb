"""Notices parameters that come to be trained during a run, and that no optimizer holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from traindoctor.instruments.dynamic import Part, State
from traindoctor.target.processes import part_of

EVERY = 16  # steps from one look to the next, and more for many parameters
PER_STEP = 16  # parameters that are looked at for each step that goes by
MOST = 1000
FACT = "unheld_later"  # by name: the steps of the first look that found it, and of the last


@dataclass(slots=True)
class _Found:
    name: str
    total: float  # of its elements: it moves if that changes
    first: int
    last: int


class Unheld(Part):
    """Looks, now and then, at what has a gradient and is in no optimizer that is alive.

    What was so at the first look is not told: it did not come later. Nor is what moves all the
    same, by hand or otherwise.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.due = EVERY
        self.known: set[int] | None = None  # unheld at the first look, or seen to move
        self.found: dict[int, _Found] = {}

    def step_begins(self, _optimizer: Any) -> None:
        """Look, if it is time to."""
        if self.state.num_steps >= self.due:
            number = self._look()
            self.due = self.state.num_steps + max(EVERY, number // PER_STEP)

    def _look(self) -> int:
        step, number = self.state.num_steps, 0
        held = {id(p) for o in self.state.optimizers for g in o.param_groups for p in g["params"]}
        unheld = {}
        for name, p in self._parameters():
            number += 1
            if p.requires_grad and p.grad is not None and id(p) not in held:
                unheld[id(p)] = (name, p)
        if self.known is None:
            self.known = set(unheld)
        for key in set(self.found) - set(unheld):
            del self.found[key]
        for key, (name, p) in unheld.items():
            is_followed = key in self.found or len(self.found) < MOST
            if key not in self.known and is_followed:
                self._note(key, name, float(part_of(p).detach().sum()), step)
        return number

    def _note(self, key: int, name: str, total: float, step: int) -> None:
        found = self.found.setdefault(key, _Found(name, total, step, step))
        if found.total != total:
            del self.found[key]
            assert self.known is not None
            self.known.add(key)
        found.last = step

    def _parameters(self) -> Iterator[tuple[str, Any]]:
        """Yield the parameters of what the program calls and trains, each once."""
        seen: set[int] = set()
        for reference, is_trained in list(self.state.trained.values()):
            module = reference() if is_trained else None
            for name, p in module.named_parameters() if module is not None else ():
                if id(p) not in seen:
                    seen.add(id(p))
                    yield name, p

    def write(self) -> None:
        """Write what at least two looks in a row have found."""
        told = {f.name: (f.first, f.last) for f in self.found.values() if f.last > f.first}
        if told or FACT in self.state.recorder.facts:
            self.state.recorder.facts[FACT] = told
