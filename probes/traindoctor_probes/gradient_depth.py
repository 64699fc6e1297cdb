"""Does the gradient survive the way back to the first layers?

## What it measures
The RMS of the weight gradients of like layers (same place in a repeated block, same shape) in
forward order, at the first and at the last step of a short run, and what each step's gradient moved
of each weight, weight decay not counted.

## Why it matters
If every layer passes back a tenth of the gradient, sixteen layers pass back nothing: the last
layers train on features that never improve.

## Known limits
Needs four like layers. Gradients that vanish through time inside one recurrent layer are not seen,
nor networks whose layers all differ in shape. Layer scale and zero-initialised residual branches
make small gradients, but not ones that shrink from layer to layer, and are silent.

## References
Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Series, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import ParameterRow, Place, Trace

VANISHING = Rule(
    code="TD204",
    name="vanishing-gradient",
    severity=Severity.ERROR,
    title="The gradient falls by {fall} through {num_layers} layers, and the first do not learn",
    what="Weight gradients shrink from layer to layer on the way back, until steps no longer move "
    "the first layers.",
    why="Only the last layers learn, on features that stay random.",
    known_limits="Judged on at least four layers of one shape, by a fall of 10,000 or more and "
    "steps that move the first layer less than a thousandth as much as the last.",
    remedies=(
        Remedy(
            "Add residual connections",
            recommended=True,
            pros="The gradient has a way past each layer.",
            before="x = torch.sigmoid(layer(x))",
            after="x = x + torch.sigmoid(layer(x))",
        ),
        Remedy(
            "Use an activation with slope 1, and a normalisation",
            pros="Keeps the architecture as it is otherwise.",
            before="x = torch.sigmoid(layer(x))",
            after="x = F.relu(norm(layer(x)))",
        ),
    ),
    explains=("TD103", "TD202", "TD409", "TD6", "TD706", "TD712"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """When a fall is a fault."""

    min_layers: int = 4
    min_fall: float = 1e4
    max_share_moved: float = 1e-3  # of what the last layer moves
    min_share_falling: float = 0.8  # of neighbouring layers


@dataclass(frozen=True, slots=True)
class Depth:
    """Like layers in forward order."""

    rows: tuple[ParameterRow, ...]
    first: tuple[float, ...]  # gradient RMS at the first step
    last: tuple[float, ...]  # and at the last
    moved: tuple[float, ...]  # update to weight ratio of the last step, without decay


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Look at each family of like layers, and speak of the deepest that vanishes."""
    run = ask(ShortRun())
    run.require(steps=2)
    fallen = [depth for depth in depths(run, options.min_layers) if vanishes(depth, options)]
    if fallen:
        yield vanishing(max(fallen, key=lambda depth: _fall(depth.first)), run)


def depths(run: Trace, min_layers: int) -> list[Depth]:
    """Group trainable matrices by their names without numbers and by shape, in forward order."""
    order = {row.path: row.order for row in run.modules if row.order is not None}
    families: dict[tuple[str, tuple[int, ...]], list[ParameterRow]] = defaultdict(list)
    for row in run.parameters:
        if row.requires_grad and len(row.shape) >= 2 and row.module in order:
            families[re.sub(r"\d+", "*", row.name), row.shape].append(row)
    gradients: dict[str, list[float]] = defaultdict(list)
    for gradient in run.gradients:
        if not gradient.is_none and not gradient.num_not_finite:
            gradients[gradient.parameter].append(gradient.rms)
    moved = moves(run)
    found = []
    for family in families.values():
        rows = sorted(family, key=lambda row: order[row.module])
        if len(rows) < min_layers or any(row.name not in moved for row in rows):
            continue
        series = [gradients[row.name] for row in rows]
        if all(series):
            found.append(
                Depth(
                    tuple(rows),
                    tuple(item[0] for item in series),
                    tuple(item[-1] for item in series),
                    tuple(moved[row.name] for row in rows),
                )
            )
    return found


def moves(run: Trace) -> dict[str, float]:
    """Return each weight's last update to weight ratio, less what weight decay alone makes."""
    decay = max((value for row in run.optimizers for value in row.weight_decays), default=0.0)
    rates = {step.index: max(step.learning_rates, default=0.0) for step in run.steps}
    found = {}
    for row in run.updates:
        if row.weight_rms > 0 and row.num_not_finite == 0:
            by_decay = 1.01 * decay * rates.get(row.step, 0.0)
            found[row.parameter] = max(row.update_rms / row.weight_rms - by_decay, 0.0)
    return found


def vanishes(depth: Depth, options: Options) -> bool:
    """Tell a gradient that shrinks layer by layer at both ends of the run, and moves nothing."""
    return (
        all(_fall(rms) >= options.min_fall for rms in (depth.first, depth.last))
        and all(
            _share_falling(rms) >= options.min_share_falling for rms in (depth.first, depth.last)
        )
        and depth.moved[0] <= options.max_share_moved * depth.moved[-1]
    )


def vanishing(depth: Depth, run: Trace) -> Finding:
    """Return the finding for one family of layers."""
    fall, count = _fall(depth.first), len(depth.rows)
    kept = fall ** (-1 / (count - 1))
    first, last = depth.rows[0], depth.rows[-1]
    return VANISHING.finding(
        f"From {last.name} back to {first.name} the gradient's RMS falls from "
        f"{figure(depth.first[-1])} to {figure(depth.first[0])}, at the last step as at the first. "
        f"A step moves {first.name} by {figure(depth.moved[0], 2)} of its size, and {last.name} by "
        f"{figure(depth.moved[-1], 2)}.",
        mechanism=f"Each layer passes back {figure(kept, 2)} of the gradient that reaches it, and "
        f"{count} layers in a row multiply. What arrives at the first ones is too small for a step "
        "to change them.",
        location=first_location(_places(depth.rows, run), module=first.module),
        evidence=[
            Evidence(f"gradient RMS of {last.name}", depth.first[-1]),
            Evidence(f"gradient RMS of {first.name}", depth.first[0]),
            Evidence("fall at the first step", fall),
            Evidence("fall at the last step", _fall(depth.last)),
            Evidence("update to weight ratio of the first layer", depth.moved[0]),
            Evidence("update to weight ratio of the last layer", depth.moved[-1]),
        ],
        series=[
            Series("gradient RMS by layer", tuple(map(float, range(count))), depth.first),
            Series("the same at the last step", tuple(map(float, range(count))), depth.last),
        ],
        fall=f"{fall:,.0f} times" if fall < 1e7 else f"{figure(fall, 2)} times",
        num_layers=count,
        subject=re.sub(r"\d+", "*", first.name),
    )


def _places(rows: Sequence[ParameterRow], run: Trace) -> list[Place]:
    called = {row.path: row.call_place for row in run.modules}
    return [called.get(rows[0].module, Place()), rows[0].place]


def _fall(rms: Sequence[float]) -> float:
    smallest = min(value for value in rms if value > 0) if any(rms) else 1.0
    return rms[-1] / max(rms[0], smallest / 10)


def _share_falling(rms: Sequence[float]) -> float:
    """Return the share of neighbours of which the earlier has the smaller gradient."""
    return sum(a <= b for a, b in pairwise(rms)) / (len(rms) - 1)


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="gradient-depth",
    doc=__doc__,
    rules=(VANISHING,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
