"""Asks a loader for a second epoch, where its kind makes that a question."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.target.source import call_place
from traindoctor.target.usercode import is_user_file, place_in
from traindoctor.trace import Place, Trace

_ENDLESS = {"cycle", "count", "repeat"}  # of itertools


@dataclass(frozen=True)
class SecondEpoch(Experiment):
    """The loader iterated twice, if it is neither a sequence nor a data set with indices.

    Facts: `is_used_up`, True where the second epoch has no batch, False where it has one, None
    where that is not known; `num_first`, the batches of the first epoch, if it came to its end;
    `is_own_iterator`; `looks_endless`; `place`, the user's line that makes the iterator.

    It may read a stream to its end, and so comes after everything else.
    """

    most_batches: int = 256
    max_seconds: float = 1.0

    name: ClassVar[str] = "second-epoch"
    cost: ClassVar[int] = 1000

    def run(self, lab: Lab) -> Trace:
        """Return the facts."""
        subject = _subject(lab.setup.loader)
        facts: dict[str, Any] = {"is_used_up": False, "is_own_iterator": False}
        if subject is None or lab.loader_error is not None:
            return Trace(setup=lab.anatomy.facts, facts=facts)
        first, second = iter(subject), iter(subject)
        facts["place"] = _place(first, lab.setup.factory)
        if first is second:
            facts |= {"is_own_iterator": True, "looks_endless": _looks_endless(first)}
            facts["is_used_up"] = self._ends(lab)
            facts["num_first"] = (
                len(lab.batches(self.most_batches)) if facts["is_used_up"] else None
            )
        else:
            facts["num_first"] = self._count(lab, iter(lab.setup.loader))
            known = facts["num_first"]
            facts["is_used_up"] = None if known is None else _is_empty(iter(lab.setup.loader))
        return Trace(setup=lab.anatomy.facts, facts=facts)

    def _ends(self, lab: Lab) -> bool | None:
        """Tell whether an iterator has an end, reading on where the lab keeps what is read."""
        start = lab.clock()
        for number in range(1, self.most_batches + 1):
            if len(lab.batches(number)) < number:
                return True
            if lab.clock() - start > self.max_seconds:
                break
        return None

    def _count(self, lab: Lab, iterator: Iterator[Any]) -> int | None:
        """Return the number of batches to the end, or None where it is too far."""
        start = lab.clock()
        for number in range(self.most_batches):
            if next(iterator, None) is None:
                return number
            if lab.clock() - start > self.max_seconds:
                break
        return None


def _subject(loader: Any) -> Iterable[Any] | None:
    """Return what is iterated anew each epoch, where that may be used up after the first."""
    from torch.utils.data import DataLoader, IterableDataset

    if not isinstance(loader, DataLoader):
        return None if hasattr(loader, "__getitem__") else loader
    if isinstance(loader.dataset, IterableDataset):
        return loader.dataset
    for sampler in (loader.sampler, loader.batch_sampler):
        if isinstance(sampler, Iterator):
            return sampler
    return None


def _is_empty(iterator: Iterator[Any]) -> bool:
    return next(iterator, None) is None


def _place(iterator: Any, factory: Place) -> Place:
    """Return where the user's code makes a generator: the call, else the expression."""
    code = getattr(iterator, "gi_code", None)
    if code is None or not is_user_file(code.co_filename):
        return Place()
    if code.co_name.startswith("<"):
        return place_in(code.co_filename, code.co_firstlineno)
    return call_place(code.co_name, factory) or place_in(code.co_filename, code.co_firstlineno)


def _looks_endless(iterator: Any) -> bool:
    """Tell whether a generator's own code gives it no end; anything else may have none."""
    if not isinstance(iterator, GeneratorType):
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(iterator.gi_code)))
    except (OSError, SyntaxError):  # a line of an expression is no program by itself
        return not iterator.gi_code.co_name.startswith("<genexpr")
    return any(
        (isinstance(node, ast.While) and isinstance(node.test, ast.Constant))
        or (isinstance(node, ast.Attribute) and node.attr in _ENDLESS)
        or (isinstance(node, ast.Name) and node.id in _ENDLESS)
        for node in ast.walk(tree)
    )
