"""Is there anything between the layers that one layer could not do?

## What it measures
The model in eval mode, and each of its parts that holds two layers or more: its output for a
mixture of two inputs, beside the same mixture of their outputs. Where the two are equal the part is
affine: the second of two layers that follow each other there adds nothing to the first.

## Why it matters
Two linear layers in a row compute what one does. The model costs more and knows no more: what is
not linear in its input stays out of its reach.

## Known limits
A product through a narrow middle (`Linear(512, 8)`, `Linear(8, 512)`) is a factorisation, and not
judged; nor are convolutions in a row, unless the whole model is affine: super-resolution and
separable convolutions do that on purpose. A part is judged if its one argument is a tensor of
floats, so that a model of token ids is judged by its parts alone.

## References
Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear networks".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from traindoctor.experiments import Experiment, MixInputs
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location, grouped, location
from traindoctor.trace import Place, Trace

NOTHING_BETWEEN = Rule(
    code="TD713",
    name="no-nonlinearity",
    severity=Severity.WARNING,
    title="{num_layers} layers of {part} do the work of one",
    what="Layers stand in a row with nothing between them that is not linear.",
    why="Together they can compute no more than one of them.",
    known_limits="Whether a linear model is meant cannot be measured. Silent where the middle is "
    "narrower than both ends.",
    remedies=(
        Remedy(
            "Put an activation between the layers",
            recommended=True,
            before="x = self.second(self.first(x))",
            after="x = self.second(F.relu(self.first(x)))",
        ),
        Remedy(
            "Keep one layer, if a linear map is meant",
            pros="The same function with fewer weights.",
            before="nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 10))",
            after="nn.Linear(64, 10)",
        ),
    ),
    explains=("TD409", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for affine parts whose layers could be one."""
    run = ask(MixInputs())
    built = {row.path: row.place for row in run.modules}
    found: dict[Place, list[tuple[Mapping[str, Any], list[Any]]]] = defaultdict(list)
    for part in run.facts["affine"]:
        pairs = [pair for pair in part["pairs"] if could_be_one(pair, is_whole=not part["path"])]
        if pairs:
            second = widest(pairs)[1]
            found[second.place or built.get(second.path, Place())].append((part, pairs))
    for alike in found.values():
        yield nothing_between(*alike[0], [part["path"] for part, _ in alike], run)


def could_be_one(pair: tuple[Any, Any], *, is_whole: bool) -> bool:
    """Tell two layers that are no factorisation of one, nor convolutions in a larger whole."""
    first, second = pair
    if first.kind == second.kind == "Linear":
        return bool(first.num_out >= min(first.num_in, second.num_out))
    return is_whole


def widest(pairs: list[Any]) -> Any:
    """Return the pair that hands on most."""
    return max(pairs, key=lambda pair: pair[0].num_out)


def nothing_between(
    part: Mapping[str, Any], pairs: list[Any], paths: list[str], run: Trace
) -> Finding:
    """Return the finding for affine parts that one line calls: of the first, with its pairs."""
    path, (first, second) = part["path"], widest(pairs)
    names = list(dict.fromkeys(layer.path for pair in pairs for layer in pair))
    built = {row.path: row.place for row in run.modules}
    where = [second.place, built.get(second.path, Place()), run.setup.forward_place]
    return NOTHING_BETWEEN.finding(
        f"The output of {path or 'the model'} for a mixture of two inputs is the mixture of their "
        f"outputs, to {part['error']:.1g} of their distance: it is affine. {second.path} is given "
        f"what {first.path} returns, with no nonlinearity between.",
        mechanism="A linear map of a linear map is a linear map: W2 (W1 x + b1) + b2 is one matrix "
        "and one bias. The layers in between only spell it out at length.",
        location=first_location(where, module=path or None),
        also_at=[location(place) for place in where[1:2] if place and where[0]],
        evidence=[
            Evidence("distance from affine, of that between two outputs", part["error"], "not 0"),
            Evidence("layers in a row", len(names), 1),
            Evidence("numbers handed from the first to the second", first.num_out),
        ],
        subject=path,
        num_layers=len(names),
        part=grouped(paths) or "the model",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (MixInputs(),)


probe = Probe(
    name="nonlinearity",
    doc=__doc__,
    rules=(NOTHING_BETWEEN,),
    examine=examine,
    experiments=experiments,
)
