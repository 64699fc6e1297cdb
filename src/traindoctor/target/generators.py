"""Finds the random generators that a data set draws from, without running any of its code."""

from __future__ import annotations

import hashlib
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from traindoctor.target.source import attribute_place, name_place
from traindoctor.target.usercode import is_user_class, is_user_file
from traindoctor.trace import Place

__all__ = ["Found", "generators_of", "global_states", "state_digest"]

Where = Callable[[], Place]  # asked only for what turns out to be a generator

MOST_OBJECTS = 400
MOST_ITEMS = 32  # of a container
MOST_DEPTH = 5
MOST_FOUND = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A generator, under the name by which the data set's code reaches it."""

    name: str
    generator: Any
    kind: str
    place: Place  # where the user's code makes it, if that is one line


def generators_of(dataset: Any, *others: Any) -> list[Found]:
    """Return the generators that a data set holds or names, and those of other callables.

    Attributes are followed through containers, and through the data sets and transforms that
    hold one another; so are the closures of functions, and the globals that a user's code names.
    """
    found: dict[int, Found] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any, int, Where]] = [("dataset", dataset, 0, Place)]
    waiting += [("collate_fn", other, 0, Place) for other in others]
    while waiting and len(seen) < MOST_OBJECTS and len(found) < MOST_FOUND:
        name, thing, depth, where = waiting.pop(0)
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        kind = _kind(thing)
        if kind:
            found[id(thing)] = Found(name, thing, kind, where())
        elif depth < MOST_DEPTH:
            waiting += [(n, part, depth + 1, w) for n, part, w in _parts(name, thing)]
    return list(found.values())


def _kind(thing: Any) -> str:
    """Name a random generator's kind; empty for anything else."""
    import numpy as np
    import torch

    if isinstance(thing, torch.Generator):
        return "torch.Generator" if thing.device.type == "cpu" else ""
    if isinstance(thing, np.random.Generator):
        return "numpy.random.Generator"
    if isinstance(thing, np.random.RandomState):
        return "numpy.random.RandomState"
    return "random.Random" if type(thing) is random.Random else ""


def _parts(name: str, thing: Any) -> Iterator[tuple[str, Any, Where]]:
    """Yield what an object holds, by name, with the user's line that puts it there."""
    if isinstance(thing, FunctionType | MethodType):
        yield from _named_by(getattr(thing, "__func__", thing))
        if isinstance(thing, MethodType):
            yield name, thing.__self__, Place
    elif isinstance(thing, list | tuple):
        yield from ((f"{name}[{i}]", item, Place) for i, item in enumerate(thing[:MOST_ITEMS]))
    elif isinstance(thing, dict):
        items = [item for item, _ in zip(thing.items(), range(MOST_ITEMS), strict=False)]
        yield from ((f"{name}[{key!r}]", item, Place) for key, item in items)
    elif not isinstance(thing, type) and hasattr(type(thing), "__dict__"):
        kind = type(thing)
        for attribute, value in list(getattr(thing, "__dict__", {}).items()):
            if not _is_plain(value):
                yield f"{name}.{attribute}", value, partial(attribute_place, kind, attribute)
        for base in kind.__mro__ if is_user_class(kind) else ():
            for method in vars(base).values():
                if isinstance(method, FunctionType):
                    yield from _named_by(method)


def _is_plain(value: Any) -> bool:
    import numpy as np
    import torch

    plain = (str, bytes, int, float, complex, type(None), torch.Tensor, np.ndarray, np.generic)
    return isinstance(value, plain)


def _named_by(function: Any) -> Iterator[tuple[str, Any, Where]]:
    """Yield the generators, and the functions, that a user's function names or encloses."""
    code = getattr(function, "__code__", None)
    if code is None or not is_user_file(code.co_filename):
        return
    for name in code.co_names:
        value = function.__globals__.get(name)
        if _kind(value):
            yield name, value, partial(name_place, code.co_filename, name)
        elif isinstance(value, FunctionType):
            yield name, value, Place
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            value = cell.cell_contents
        except ValueError:  # a cell that is still empty
            continue
        if not _is_plain(value):
            yield name, value, partial(name_place, code.co_filename, name)


def state_digest(generator: Any) -> str:
    """Return a digest of a generator's state, which stays as it is."""
    import torch

    if isinstance(generator, torch.Generator):
        octets = generator.get_state().numpy().tobytes()
    elif isinstance(generator, random.Random):
        octets = repr(generator.getstate()).encode()
    elif hasattr(generator, "bit_generator"):
        octets = pickle.dumps(generator.bit_generator.state)
    else:
        octets = pickle.dumps(generator.get_state())
    return _hash(octets)


def global_states() -> dict[str, str]:
    """Return digests of the process's own generators: python's, numpy's and torch's."""
    import numpy as np
    import torch

    return {
        "random": _hash(repr(random.getstate()).encode()),
        "numpy.random": _hash(pickle.dumps(np.random.get_state())),
        "torch": _hash(torch.get_rng_state().numpy().tobytes()),
    }


def _hash(octets: bytes) -> str:
    return hashlib.blake2b(octets, digest_size=6).hexdigest()
