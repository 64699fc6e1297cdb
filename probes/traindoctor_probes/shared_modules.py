"""Is one module several layers?

## What it measures
Modules with weights that stand more than once in one `ModuleList`, `Sequential` or `ModuleDict` of
the user's own, and how often each is called in a step.

## Why it matters
`[layer] * 6` is a list of one layer, six times. The model has a sixth of the weights that it was
to have there, every call trains the same ones, and nothing looks wrong.

## Known limits
Whether the weights are shared on purpose cannot be measured. A module that is registered outside of
the container too (`self.layer = …; self.layers = nn.ModuleList([self.layer] * n)`), or simply
called in a loop, counts as declared; so does a container that a library builds. Modules without
weights, such as activations, may be shared freely.

## References
Lan et al. 2020, "ALBERT": sharing across layers that is meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, OneStep, ReadSource
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
from traindoctor.probing.wording import location
from traindoctor.trace import ModuleRow, ParameterRow
from traindoctor_probes._ownership import CONTAINERS, is_users

BY_ACCIDENT = Rule(
    code="TD710",
    name="module-shared-by-accident",
    severity=Severity.WARNING,
    title="The {num_places} {kind} layers of {container} are one and the same module",
    what="One module with weights stands several times in one container of layers.",
    why="The layers share all their weights: the model is far smaller than it looks.",
    known_limits="Sharing that is meant looks the same, unless the module has a name of its own "
    "outside of the container.",
    remedies=(
        Remedy(
            "Build a module for each place",
            recommended=True,
            pros="Each layer has weights of its own.",
            cons="Checkpoints saved before hold the same weights for all of them.",
            before="self.layers = nn.ModuleList([Block(dim)] * depth)",
            after="self.layers = nn.ModuleList([Block(dim) for _ in range(depth)])",
        ),
        Remedy(
            "Say that one module is meant, and call it in a loop",
            pros="The state dict holds its weights once.",
            before="self.layers = nn.ModuleList([Block(dim)] * depth)",
            after="self.layer = Block(dim)",
        ),
    ),
    explains=("TD6",),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for parameters that have several names in one container, and none outside of it."""
    known = ask(ReadSource())
    modules = {row.path: row for row in known.modules if row.is_registered}
    shared: dict[tuple[str, tuple[str, ...]], list[ParameterRow]] = defaultdict(list)
    for row in known.parameters:
        found = places_in_container(row, modules)
        if found is not None:
            shared[found].append(row)
    for (container, keys), rows in shared.items():
        path = f"{container}.{keys[0]}"
        held = [row for row in known.parameters if row.name.startswith(f"{path}.")]
        is_trained = any(row.requires_grad for row in rows)
        if len(held) == len(rows) and is_trained and is_users(container, modules):
            calls = [row for row in ask(OneStep()).modules if row.path == path]
            if calls and calls[0].num_calls > 1:
                yield by_accident(modules[container], keys, calls[0], rows)


def places_in_container(
    row: ParameterRow, modules: dict[str, ModuleRow]
) -> tuple[str, tuple[str, ...]] | None:
    """Return the container and the keys under which all names of a parameter stand in it."""
    if not row.also_named:
        return None
    names = [name.split(".") for name in (row.name, *row.also_named)]
    if len({len(parts) for parts in names}) != 1:
        return None
    apart = [i for i, parts in enumerate(zip(*names, strict=True)) if len(set(parts)) > 1]
    container = ".".join(names[0][: apart[0]])
    is_layer = apart[0] < len(names[0]) - 1
    holder = modules.get(container)
    if len(apart) != 1 or not is_layer or holder is None or holder.class_name not in CONTAINERS:
        return None
    return container, tuple(parts[apart[0]] for parts in names)


def by_accident(
    holder: ModuleRow, keys: Sequence[str], called: ModuleRow, rows: Sequence[ParameterRow]
) -> Finding:
    """Return the finding for the layers of one container."""
    size = sum(row.num_elements for row in rows)
    place, kind, container = holder.place, called.class_name, holder.path or "the model"
    return BY_ACCIDENT.finding(
        f"{', '.join(f'{holder.path}.{key}'.strip('.') for key in keys[:4])}"
        f"{' …' if len(keys) > 4 else ''} are the same {kind}: {size:,} weights where "
        f"{len(keys)} layers would have {size * len(keys):,}.",
        confidence=None if "] *" in place.text else Confidence.LIKELY,
        mechanism="Multiplying a list, or appending one object again and again, copies the "
        "reference and not the module. Each call of any of them uses, and trains, the same "
        "weights.",
        location=location(place, module=holder.path),
        evidence=[
            Evidence("modules behind these places", 1, len(keys)),
            Evidence("calls of it in one step", called.num_calls, 1),
            Evidence("weights", size, size * len(keys)),
        ],
        subject=container,
        num_places=len(keys),
        kind=kind,
        container=container,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadSource(), OneStep()


probe = Probe(
    name="shared-modules",
    doc=__doc__,
    rules=(BY_ACCIDENT,),
    examine=examine,
    experiments=experiments,
)
