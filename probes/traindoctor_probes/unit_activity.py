"""Do the units of each layer ever do anything?

## What it measures
What each `relu`, `sigmoid` and `tanh` of the model returns over a few varied batches: the units
that return zero for every sample (ReLU), or that lie where the slope is below a hundredth of its
steepest (sigmoid, tanh). Of a sigmoid also whether a logarithm is taken of its result.

## Why it matters
A unit like that says the same of every input and gets no gradient: it takes part in nothing and
does not come back by itself. A layer of which most units are dead is as narrow as what is left.

## Known limits
Speaks above half of a layer's units, where each was seen on 64 values or more. Only the first
steps are watched: units that die later are not seen. Layers that are sparse by design, such as
the codes of a sparse autoencoder, are judged alike: over several batches their units should fire.
What a library's module computes inside itself is not judged, nor is what gets no gradient at all.
Probabilities that a cross entropy is taken of may be next to 0 for every sample, as those of rare
events are: the slope of the logarithm makes up for that of the sigmoid.

## References
Lu et al. 2019, "Dying ReLU and Initialization". Glorot and Bengio 2010.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import Experiment, WatchSignals
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import SignalRow, Trace
from traindoctor_probes._ownership import is_users

DEAD = Rule(
    code="TD214",
    name="dead-units",
    severity=Severity.WARNING,
    title="{share:.0%} of the units of a {operation} layer are {state} for every sample",
    what="Most units of a layer return the same for every sample of varied batches, where their "
    "activation is flat.",
    why="They carry nothing forward and get no gradient: the layer is as narrow as what is left.",
    known_limits="Only ReLU, sigmoid and tanh, in the first steps. Silent below half of a layer, "
    "and on probabilities that a cross entropy is taken of.",
    remedies=(
        Remedy(
            "Bring the layer's inputs and biases to a scale that its activation can tell apart",
            recommended=True,
            pros="Standardised inputs and biases at zero leave about half of the units active.",
            before="nn.init.constant_(self.layer.bias, -8.0)",
            after="nn.init.zeros_(self.layer.bias)",
        ),
        Remedy(
            "Normalise in front of the activation",
            pros="Every unit is above zero for some samples, whatever the weights do.",
            before="x = F.relu(self.layer(x))",
            after="x = F.relu(self.norm(self.layer(x)))",
        ),
    ),
    explains=("TD204", "TD409", "TD6", "TD712"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """When units that do nothing are a fault."""

    largest_share: float = 0.5  # of a layer; default initialisation leaves a few per cent dead
    fewest_units: int = 8
    fewest_values: int = 64  # of each unit


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Look for layers most of whose units are never alive; the first is named, the rest with it."""
    run = ask(WatchSignals())
    modules = {row.path: row for row in run.modules}
    found = [
        row for row in run.signals if is_mostly_dead(row, options) and is_users(row.module, modules)
    ]
    if found:
        yield dead(found, run)


def is_mostly_dead(row: SignalRow, options: Options) -> bool:
    """Tell a layer of some width most of whose units were dead on all of many values."""
    if row.is_probability or not row.has_gradient:
        return False
    is_wide = row.num_units >= options.fewest_units and row.num_values >= options.fewest_values
    return is_wide and row.num_dead > options.largest_share * row.num_units


def dead(rows: list[SignalRow], run: Trace) -> Finding:
    """Return the finding for the first layer whose units are dead, and those behind it."""
    first, *others = sorted(rows, key=lambda row: row.order)
    share = first.num_dead / first.num_units
    state = "silent" if first.operation == "relu" else "saturated"
    flat = "below zero" if first.operation == "relu" else "where its curve is flat"
    batches = counted(len(run.losses), "batch")
    also = {row.place: location(row.place) for row in others if row.place != first.place}
    more = f" So it is in {counted(len(others), 'other layer')}." if others else ""
    return DEAD.finding(
        f"{first.num_dead} of {first.num_units} units of this {first.operation} were {state} for "
        f"all of {first.num_values} values in {batches}.{more}",
        mechanism=f"What these units are given is {flat} for every sample, so that they return the "
        "same for all, and the slope that their gradient is multiplied with is zero or close to "
        "it. The weights in front of them do not move.",
        location=first_location([first.place], module=first.module or None),
        also_at=list(also.values()),
        evidence=[
            Evidence(f"units that are {state} for every sample", first.num_dead, 0),
            Evidence("units of the layer", first.num_units),
            Evidence("values of each that were looked at", first.num_values),
            Evidence("layers like that", len(rows), 0),
        ],
        subject=first.module,
        share=share,
        operation=first.operation,
        state=state,
    )


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (WatchSignals(),)


probe = Probe(
    name="unit-activity",
    doc=__doc__,
    rules=(DEAD,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
