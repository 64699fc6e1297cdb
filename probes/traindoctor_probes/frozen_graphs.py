"""Do frozen modules build graphs that nobody uses?

## What it measures
For each frozen module that is called with gradients on and whose output has a graph: whether
anything trainable stands behind that output, the memory that its forward keeps for backward, and
the time of a call with and without the graph.

## Why it matters
A frozen encoder in front of the trained part needs no graph. With one, its activations stay in
memory until backward, and backward computes gradients down to the inputs, which nobody reads.

## Known limits
Silent where the user's code reads gradients of anything but parameters or calls `autograd.grad`,
and under gradient checkpointing, which needs inputs with gradients. Modules that no optimizer
holds, but whose parameters require gradients, are the matter of TD401.

## References
PyTorch, "Autograd mechanics": locally disabling gradient computation.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from traindoctor.experiments import Experiment, FrozenGraphs, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls, function_at, subtrees
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import FrozenRow, ModuleRow, Place, SourceRow, Trace

LEAST_SHARE = 0.1  # of the memory that a step keeps for backward
_PARAMETERS = ("p", "q", "param", "parameter", "weight", "bias", "w", "b")

WITH_GRAPH = Rule(
    code="TD304",
    name="frozen-module-with-graph",
    severity=Severity.WARNING,
    title="{module} is frozen, and {share:.0%} of a step's memory for backward is its graph",
    what="A module whose parameters are all frozen builds a graph in every step.",
    why="Memory and time go into gradients that nobody uses.",
    known_limits=f"Speaks from {LEAST_SHARE:.0%} of the step's saved memory; modules behind "
    "trainable ones need their graph.",
    remedies=(
        Remedy(
            "Call it without gradients",
            recommended=True,
            pros="One line.",
            before="features = encoder(inputs)",
            after="with torch.no_grad():\n    features = encoder(inputs)",
        ),
        Remedy(
            "Encode the data once, before training",
            pros="Saves the forward pass too, in every epoch.",
            cons="No augmentation in front of the encoder; the features need room.",
            after="with torch.no_grad():\n    features = [encoder(item) for item in dataset]",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at frozen modules that are called with gradients on."""
    run = ask(ShortRun())
    chosen = tuple(row.path for row in candidates(run.modules))
    if not chosen or any(row.attributes.get("gradient_checkpointing") for row in run.modules):
        return
    if reads_gradients(ask(ReadSource()).source):
        return
    weighed = ask(FrozenGraphs(modules=chosen))
    for row in weighed.frozen:
        if not row.learns and row.num_bytes >= LEAST_SHARE * row.step_bytes > 0:
            yield with_graph(run, row, ask(ReadSource()).source)


def candidates(modules: tuple[ModuleRow, ...]) -> list[ModuleRow]:
    """Return the outermost frozen modules whose output has a gradient."""
    found = [
        row
        for row in modules
        if row.num_parameters
        and not row.num_trainable
        and row.output_requires_grad
        and row.num_calls > row.num_calls_without_grad
    ]
    paths = [f"{row.path}." if row.path else "" for row in found]
    return [row for row in found if not any(row.path.startswith(path) for path in paths)]


def reads_gradients(source: tuple[SourceRow, ...]) -> bool:
    """Tell whether code asks for gradients of other things than parameters."""
    if calls(source, "grad"):
        return True
    return any(
        node.attr == "grad" and ast.unparse(node.value).rpartition(".")[2] not in _PARAMETERS
        for row in source
        for node in subtrees(row, ast.Attribute)
    )


def with_graph(run: Trace, row: FrozenRow, source: tuple[SourceRow, ...]) -> Finding:
    """Return the finding for one module, under the name of the outermost that is frozen."""
    known = {module.path: module for module in run.modules}
    outer = known[row.module]
    while (above := known.get(outer.path.rpartition(".")[0])) and not above.num_trainable:
        outer = above
    share = row.num_bytes / row.step_bytes
    place = known[row.module].call_place
    asked = [] if not place else asking(source, place)
    because = f" `{asked[0].text}` at line {asked[0].line} asks for it." if asked else ""
    return WITH_GRAPH.finding(
        f"None of the {outer.num_parameters:,} parameters of {outer.path} is trained, and nothing "
        f"trainable stands in front of it. Its forward keeps {row.num_bytes / 1e6:.3g} MB of the "
        f"{row.step_bytes / 1e6:.3g} MB that a step keeps for backward, and takes "
        f"{1e3 * row.seconds_with_graph:.3g} ms with backward instead of "
        f"{1e3 * row.seconds_without:.3g} ms without gradients.{because}",
        mechanism="Autograd records an operation as soon as one of its operands requires a "
        "gradient. Here an input does, and so every layer of the frozen module is recorded, and "
        "backward runs through it down to an input whose gradient nobody reads.",
        location=first_location([place, outer.place], module=outer.path),
        also_at=[location(line) for line in asked],
        evidence=[
            Evidence("memory kept for backward by it", row.num_bytes, 0, "B"),
            Evidence("memory kept for backward by the step", row.step_bytes, None, "B"),
            Evidence(
                "its forward and backward",
                1e3 * row.seconds_with_graph,
                1e3 * row.seconds_without,
                "ms",
            ),
            Evidence("its trainable parameters", 0),
        ],
        remedies=remedies(row, place),
        module=outer.path,
        share=share,
        subject=outer.path,
    )


def asking(source: tuple[SourceRow, ...], place: Place) -> list[Place]:
    """Return the lines around a call that make something require a gradient."""
    function = function_at(source, place)
    first, last = (function.lineno, function.end_lineno or 0) if function else (0, 0)
    return [
        line
        for line, call in calls(source, "requires_grad_")
        if line.file == place.file and first <= (line.line or 0) <= last and not call.args
    ]


def remedies(row: FrozenRow, place: Place) -> list[Remedy]:
    """Return the ways out, made of the user's own call, with what each was measured to save."""
    graph = max(1e3 * (row.seconds_with_graph - row.seconds_without), 0.0)  # on a busy machine
    whole = 1e3 * row.seconds_with_graph
    saved = f"{row.num_bytes / 1e6:.3g} MB and {graph:.3g} ms of each step"
    once, before = WITH_GRAPH.remedies[0], place.text or WITH_GRAPH.remedies[0].before
    return [
        replace(
            once,
            pros=f"One line; saves {saved}.",
            before=before,
            after=f"with torch.no_grad():\n    {before}",
        ),
        replace(
            WITH_GRAPH.remedies[1],
            pros=f"Saves the forward too, {whole:.3g} ms in all of each step, in every epoch.",
        ),
    ]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="frozen-graphs",
    doc=__doc__,
    rules=(WITH_GRAPH,),
    examine=examine,
    experiments=experiments,
)
