"""Is the Trainer that runs the one that the project wrote for it?

## What it measures
The class of the `transformers.Trainer` that was handed over, beside the subclasses of it that
this run's own files define, and whether any of these files names such a subclass.

## Why it matters
A project overrides `compute_loss`, and the script instantiates `Trainer`. Nothing fails: the model
computes a loss of its own from the same batch, and the project's loss never runs.

## Known limits
A subclass that any imported file names, if only in a condition or an annotation, is taken as known
and not chosen. One that is built by name from a string is not seen.

## References
transformers, "Trainer": customising by subclassing `compute_loss` and `training_step`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import Experiment, ReadBatches, ReadSource
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.syntax import at, last_name, subtrees
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import Place, SetupRow, SourceRow
from traindoctor_probes._raised import keys_of

Source = tuple[SourceRow, ...]

OVERRIDES = ("compute_loss", "training_step")

WRONG_CLASS = Rule(
    code="TD010",
    name="wrong-trainer-class",
    severity=Severity.ERROR,
    title="{running} runs, and {written}.{method} does not",
    what="The project defines a subclass of the Trainer that overrides how the loss is computed, "
    "and the plain class is what is instantiated.",
    why="The model trains on a loss that nobody meant, without any message.",
    known_limits="Silent where any file of the run names the subclass, or none imports it.",
    remedies=(
        Remedy(
            "Instantiate the subclass",
            recommended=True,
            before="trainer = Trainer(model=model, args=args, train_dataset=dataset)",
            after="trainer = MyTrainer(model=model, args=args, train_dataset=dataset)",
        ),
        Remedy("Delete the subclass", pros="Nobody will think that it runs."),
    ),
    explains=("TD008", "TD011", "TD104", "TD6"),
)


@dataclass(frozen=True, slots=True)
class Subclass:
    """A Trainer of the user's: where it stands, what it overrides, and the keys it names."""

    name: str
    place: Place
    method: str
    keys: frozenset[str]


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for a subclass that none of the run's files names."""
    known = ask(ReadSource())
    setup = known.setup
    if not setup.trainer_class or setup.trainer_is_users:
        return
    nodes = list(trainers(known.source, setup.trainer_class))
    # Without a factory the source is that of every program this process has seen.
    if not setup.factory or not nodes or is_named(known.source, nodes):
        return
    found = [made for row, node in nodes if (made := described(row, node)) is not None]
    if found:
        yield wrong_class(ask, setup, found[-1])


def trainers(source: Source, running: str) -> Iterator[tuple[SourceRow, ast.ClassDef]]:
    """Yield the classes that derive from transformers' Trainer, each after its bases."""
    names = {"Trainer", running}
    for row in source:
        if not any("transformers" in ast.unparse(node) for node in _imports(row)):
            continue
        for node in subtrees(row, ast.ClassDef):
            if names & {last_name(base) for base in node.bases}:
                names.add(node.name)
                yield row, node


def _imports(row: SourceRow) -> Iterator[ast.AST]:
    yield from subtrees(row, ast.Import)
    yield from subtrees(row, ast.ImportFrom)


def is_named(source: Source, nodes: list[tuple[SourceRow, ast.ClassDef]]) -> bool:
    """Tell whether any code outside these classes names one of them."""
    names = {node.name for _, node in nodes}
    inside = {id(inner) for _, node in nodes for inner in ast.walk(node)}
    return any(
        last_name(node) in names and id(node) not in inside
        for row in source
        for kind in (ast.Name, ast.Attribute)
        for node in subtrees(row, kind)
    )


def described(row: SourceRow, node: ast.ClassDef) -> Subclass | None:
    """Return a subclass that overrides how the loss is computed."""
    methods = [m for m in node.body if isinstance(m, ast.FunctionDef) and m.name in OVERRIDES]
    if not methods:
        return None
    keys = {
        inner.value
        for method in methods
        for inner in ast.walk(method)
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
    }
    return Subclass(node.name, at(row, methods[0]), methods[0].name, frozenset(keys))


def wrong_class(ask: Ask, setup: SetupRow, written: Subclass) -> Finding:
    """Return the finding, which explains the keys that the subclass would have taken out."""
    batches = ask(ReadBatches()).batches
    keys = set(keys_of(batches[0])) if batches else set()
    handled = sorted(keys & written.keys)
    unnamed = keys - set(setup.forward_parameters)
    explains = WRONG_CLASS.explains
    if unnamed and unnamed <= written.keys:
        explains = ("TD001", "TD002", *explains)
    reads = f" It reads {', '.join(handled)} from this run's batches." if handled else ""
    return WRONG_CLASS.finding(
        f"A plain {setup.trainer_class} was handed over. {written.name} overrides "
        f"`{written.method}`, and no file of this run makes one.{reads}",
        confidence=None if handled else Confidence.LIKELY,
        mechanism=f"{setup.trainer_class}.{written.method} asks the model for its own loss. What "
        f"{written.name} does to the batch and to the loss is never called.",
        location=first_location([setup.trainer_place, setup.factory]),
        also_at=[location(written.place)],
        evidence=[
            Evidence("class that runs", setup.trainer_class, written.name),
            Evidence("method that does not", f"{written.name}.{written.method}"),
            Evidence("places that make one", 0, 1),
            Evidence("batch keys that it reads", ", ".join(handled) or "none"),
        ],
        remedies=[
            Remedy(
                f"Instantiate {written.name}",
                recommended=True,
                pros="The loss that the project defines is the one that trains.",
                before=setup.trainer_place.text or f"{setup.trainer_class}(...)",
                after=(setup.trainer_place.text or f"{setup.trainer_class}(...)").replace(
                    f"{setup.trainer_class}(", f"{written.name}("
                ),
            ),
            WRONG_CLASS.remedies[1],
        ],
        explains=explains,
        running=setup.trainer_class,
        written=written.name,
        method=written.method,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ReadSource(),)


probe = Probe(
    name="trainer-class",
    doc=__doc__,
    rules=(WRONG_CLASS,),
    examine=examine,
    experiments=experiments,
)
