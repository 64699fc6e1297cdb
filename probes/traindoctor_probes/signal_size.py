"""Does the signal keep its size on the way through the layers?

## What it measures
At the first step, before any update: the size (RMS) of what each linear layer and convolution
returns, in the order of their calls, and how much of it tells samples apart.

## Why it matters
A factor of two a layer is a thousand after ten. A signal that grows so saturates what comes next,
and its gradients grow as well; one that shrinks so leaves nothing of the input but the biases.

## Known limits
A chain needs six layers, and a signal that grows or shrinks steadily: by the rank correlation with
depth. The last layer is left out, because heads are often started small on purpose. Products that
are no layer's are not seen.

## References
He et al. 2015, "Delving Deep into Rectifiers". Mishkin and Matas 2016, "All you need is a good
init".
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from traindoctor.experiments import Experiment, ReadSource, WatchSignals
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Series, Severity
from traindoctor.probing.syntax import calls
from traindoctor.probing.wording import figure, first_location, location
from traindoctor.trace import Place, SignalRow, SourceRow, Trace

DRAWERS = (
    "normal_",
    "trunc_normal_",
    "uniform_",
    "orthogonal_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "xavier_normal_",
    "xavier_uniform_",
)

UNSTABLE = Rule(
    code="TD706",
    name="unstable-initialisation",
    severity=Severity.WARNING,
    title="The signal {course} {factor} times over {num_layers} layers at initialisation",
    what="What layers return grows or shrinks exponentially with depth before any training.",
    why="The last layers are saturated or blind, and gradients have the wrong size by as much.",
    known_limits="Only chains of six linear layers or convolutions and more. Whether training "
    "repairs it is not asked.",
    remedies=(
        Remedy(
            "Draw the weights at a scale that keeps the signal's size",
            recommended=True,
            pros="He's rule keeps it through ReLU layers, Xavier's through tanh.",
            before="nn.init.normal_(layer.weight)",
            after='nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
        ),
        Remedy(
            "Normalise between the layers",
            pros="The size is the same whatever the weights are.",
            before="x = F.relu(layer(x))",
            after="x = F.relu(norm(layer(x)))",
        ),
    ),
    explains=(
        "TD102",
        "TD104",
        "TD105",
        "TD202",
        "TD204",
        "TD205",
        "TD210",
        "TD214",
        "TD408",
        "TD6",
        "TD712",
    ),
)


@dataclass(frozen=True, slots=True)
class Options:
    """When growth or shrinkage is a fault."""

    fewest_layers: int = 6
    largest_factor: float = 1e3  # from the first two layers to the last two
    least_correlation: float = 0.9  # of the signal's size with depth, by ranks


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Follow the size of the signal, and what tells samples apart, through the first forward."""
    run = ask(WatchSignals())
    layers = [row for row in run.signals if row.num_units and not row.num_values][:-1]
    layers = [row for row in layers if row.batch == layers[0].batch]
    if len(layers) < options.fewest_layers:
        return
    sizes, spreads = [row.rms for row in layers], [row.spread for row in layers]
    if is_steady(sizes, options) and growth(sizes) > options.largest_factor:
        yield unstable(layers, sizes, "grows", ask, run)
    elif is_steady(spreads, options) and growth(spreads) < 1 / options.largest_factor:
        yield unstable(layers, spreads, "shrinks", ask, run)


def growth(sizes: Sequence[float]) -> float:
    """Return by what the geometric mean of the last two exceeds that of the first two."""
    return math.sqrt(sizes[-1] * sizes[-2] / (sizes[0] * sizes[1]))


def is_steady(sizes: Sequence[float], options: Options) -> bool:
    """Tell sizes, all of them known, whose order is that of depth or its reverse."""
    if not all(0 < size < math.inf for size in sizes):
        return False
    ranked = sorted(range(len(sizes)), key=lambda index: sizes[index])
    mean = (len(sizes) - 1) / 2
    covariance = sum((rank - mean) * (index - mean) for rank, index in enumerate(ranked))
    variance = sum((index - mean) ** 2 for index in range(len(sizes)))
    return abs(covariance / variance) >= options.least_correlation


def unstable(
    layers: Sequence[SignalRow], sizes: Sequence[float], course: str, ask: Ask, run: Trace
) -> Finding:
    """Return the finding for a signal that grows or shrinks with depth."""
    factor = growth(sizes)
    a_layer = factor ** (1 / (len(sizes) - 2))
    what = "size (RMS)" if course == "grows" else "spread between samples"
    depth = tuple(float(index) for index in range(len(sizes)))
    paths = {row.module for row in layers}
    built = Counter(row.place for row in run.modules if row.path in paths and row.place)
    most = [place for place, _ in built.most_common(1)]  # the line that builds most of them
    drawn = drawn_at(ask(ReadSource()).source)
    return UNSTABLE.finding(
        f"The {what} of what layers return goes from {figure(sizes[0])} in the first layer to "
        f"{figure(sizes[-1])} in layer {len(sizes)}: a factor of {figure(a_layer)} a layer.",
        mechanism="Each layer multiplies the size of what it is given by about the same factor, "
        "which its initial weights and its activation set. Over the depth of the model the "
        "factors multiply.",
        location=first_location([*drawn, *most, layers[0].place, run.setup.model_place]),
        also_at=[location(place) for place in most if drawn],
        evidence=[
            Evidence(f"{what} in the first layer", sizes[0]),
            Evidence(f"{what} in layer {len(sizes)}", sizes[-1], "of the same order"),
            Evidence("factor a layer", a_layer, "about 1"),
            Evidence("layers", len(sizes)),
        ],
        series=[Series(what, depth, tuple(sizes))],
        course=course,
        factor=figure(factor if factor > 1 else 1 / factor, 2),
        num_layers=len(sizes),
    )


def drawn_at(source: Iterable[SourceRow]) -> list[Place]:
    """Return the line that draws weights at random, if the user's code has one alone."""
    found = [
        place
        for place, call in calls(source, *DRAWERS)
        if call.args and ast.unparse(call.args[0]).removesuffix(".data").endswith("weight")
    ]
    return found if len(found) == 1 else []


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (WatchSignals(),)


probe = Probe(
    name="signal-size",
    doc=__doc__,
    rules=(UNSTABLE,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
