"""A `worker_init_fn` that seeds every worker alike, as it is written: where no worker is seen."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from traindoctor.probing.syntax import at, last_name, subtrees
from traindoctor.trace import LoaderRow, Place, SourceRow

_DRAWS = {
    "torch": "rand randn randint randperm normal bernoulli rand_like randn_like multinomial",
    "numpy.random": "rand randn randint normal uniform choice permutation shuffle random",
    "random": "random randint uniform choice choices sample shuffle gauss",
}


@dataclass(frozen=True, slots=True)
class SameSeed:
    """A generator of the process's own that gets one seed in every worker, and who draws from it.

    Attributes:
        generator: `torch`, `numpy.random` or `random`.
        place: the line that seeds it.
        drawn_at: a line of the data set's class that draws from it.
    """

    generator: str
    place: Place
    drawn_at: Place


def same_seed(source: Sequence[SourceRow], loader: LoaderRow) -> SameSeed | None:
    """Return the first seed of a `worker_init_fn` that is a number, if the data set draws on it."""
    for row in source:
        given = {
            last_name(keyword.value)
            for call in subtrees(row, ast.Call)
            for keyword in call.keywords
            if keyword.arg == "worker_init_fn"
        }
        for function in subtrees(row, ast.FunctionDef):
            for call in subtrees_of(function) if function.name in given else ():
                generator = _seeded(call)
                drawn = generator and next(_drawn(source, loader, generator), None)
                if drawn:
                    return SameSeed(generator, at(row, call), drawn)
    return None


def subtrees_of(node: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls in a syntax tree."""
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def _seeded(call: ast.Call) -> str:
    """Name the generator that a call gives a literal number for a seed; nothing for any other."""
    is_number = len(call.args) == 1 and isinstance(call.args[0], ast.Constant)
    name = ast.unparse(call.func)
    if not is_number:
        return ""
    return {
        "torch.manual_seed": "torch",
        "np.random.seed": "numpy.random",
        "numpy.random.seed": "numpy.random",
        "random.seed": "random",
    }.get(name, "")


def _drawn(source: Sequence[SourceRow], loader: LoaderRow, generator: str) -> Iterator[Place]:
    """Yield the lines of the data set's class that draw from a generator of the process's own."""
    prefixes = (generator, "np.random") if generator == "numpy.random" else (generator,)
    calls = {f"{prefix}.{name}" for prefix in prefixes for name in _DRAWS[generator].split()}
    for row in source:
        for owner in subtrees(row, ast.ClassDef):
            if row.file != loader.dataset_place.file or owner.name != loader.dataset_class:
                continue
            for call in subtrees_of(owner):
                has_own = any(keyword.arg == "generator" for keyword in call.keywords)
                if ast.unparse(call.func) in calls and not has_own:
                    yield at(row, call)
