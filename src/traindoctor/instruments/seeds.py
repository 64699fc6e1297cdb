"""Records code that seeds a random generator again and again while the model trains."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from traindoctor.instruments.dynamic import Part, State
from traindoctor.target.patches import replaced
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place, SeedRow

MOST_PLACES = 16


@dataclass(slots=True)
class _Seeded:
    """One line that seeds one generator."""

    value: str
    count: int = 0
    num_same: int = 0
    num_other: int = 0
    last: str = ""  # the generator's state at the last backward pass behind a seeding


@dataclass(slots=True)
class _Open:
    """The last seeding of a generator, until the next backward pass."""

    key: tuple[str, Place]
    state: str  # right behind it


class Seeds(Part):
    """Replaces what seeds the global generators of torch, numpy and python.

    Nothing is looked at unless something is seeded: a generator's state is read after that, and
    once more when the next backward pass begins.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.places: dict[tuple[str, Place], _Seeded] = {}
        self.open: dict[str, _Open] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the functions for as long as it is open."""
        with ExitStack() as stack:
            for name, (owner, seeds, sets, _) in _generators().items():
                stack.enter_context(replaced(owner, seeds, self._noting(name)))
                stack.enter_context(replaced(owner, sets, self._closing(name)))
            yield

    def _noting(self, name: str) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def seed(*args: Any, **kwargs: Any) -> Any:
                result = original(*args, **kwargs)
                given = args[0] if args else next(iter(kwargs.values()), None)
                self.safely(self._seeded, name, given, sys._getframe(1))
                return result

            return seed

        return make

    def _closing(self, name: str) -> Callable[[Any], Any]:
        """Return what forgets a seeding: whoever sets a state gives the old one back."""

        def make(original: Any) -> Any:
            def set_state(*args: Any, **kwargs: Any) -> Any:
                self.open.pop(name, None)
                return original(*args, **kwargs)

            return set_state

        return make

    def _seeded(self, name: str, value: Any, frame: Any) -> None:
        place = user_place(frame)
        key = (name, place)
        if not place or (key not in self.places and len(self.places) >= MOST_PLACES):
            return
        seen = self.places.setdefault(key, _Seeded(str(value)))
        seen.count += 1
        if str(value) != seen.value:
            seen.num_other += 1
            return
        self.open[name] = _Open(key, _digest(name))

    def backward_begins(self, _loss: Any, _is_retained: bool) -> None:
        """Compare the generators that were seeded with what they were at the last pass."""
        for name, opened in self.open.items():
            seen, now = self.places[opened.key], _digest(name)
            seen.num_same += now == seen.last and now != opened.state
            seen.last = now
        self.open.clear()

    def write(self) -> None:
        """Write a row for each line that seeds."""
        self.state.recorder.seeds[:] = [
            SeedRow(
                generator=name,
                place=place,
                value=seen.value,
                count=seen.count,
                num_other=seen.num_other,
                num_same=seen.num_same,
            )
            for (name, place), seen in self.places.items()
        ]


def _generators() -> dict[str, tuple[Any, str, str, Callable[[], bytes]]]:
    """Return by name the module, what seeds it, what sets its state, and what reads that."""
    import random

    import torch

    def torch_state() -> bytes:
        return torch.get_rng_state().numpy().tobytes()

    def python_state() -> bytes:
        return repr(random.getstate()).encode()

    found: dict[str, tuple[Any, str, str, Callable[[], bytes]]] = {
        "torch": (torch, "manual_seed", "set_rng_state", torch_state),
        "random": (random, "seed", "setstate", python_state),
    }
    numpy = sys.modules.get("numpy")
    if numpy is not None:

        def numpy_state() -> bytes:
            _, keys, *rest = numpy.random.get_state()
            return bytes(keys) + repr(rest).encode()

        found["numpy"] = (numpy.random, "seed", "set_state", numpy_state)
    return found


def _digest(name: str) -> str:
    return hashlib.blake2b(_generators()[name][3](), digest_size=8).hexdigest()
