"""Does every parameter of a DistributedDataParallel take part in its losses?

## What it measures
The exception that the wrapper raises at the call after a backward pass in which a parameter got no
gradient, and the parameters that it names.

## Why it matters
The wrapper averages gradients in groups, and waits for each parameter of a group. One that takes no
part in the loss keeps its group from being averaged; the next call of the wrapper refuses to go on.

## Known limits
Silent with `find_unused_parameters=True`, which copes with it at the cost of a walk through the
graph. A run of a single step never comes to the exception. Parameters are named by their order in
the wrapped model, as the message gives it.

## References
PyTorch, `torch.nn.parallel.DistributedDataParallel`, `find_unused_parameters`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location, grouped, location
from traindoctor.trace import ExceptionRow, RankRow, Trace

_REFUSAL = "Expected to have finished reduction in the prior iteration"
_INDICES = re.compile(r"did not receive grad for rank \d+: ([\d ]+)")

UNUSED = Rule(
    code="TD906",
    name="unused-parameters-in-wrapper",
    severity=Severity.ERROR,
    title="{title}",
    what="Parameters inside a DistributedDataParallel get no gradient from its loss.",
    why="Their group of gradients is never averaged; the next call of the model raises.",
    known_limits="Silent with find_unused_parameters=True, and in a run of a single step.",
    remedies=(
        Remedy(
            "Take out of the model, or use in the loss, what has no part in it",
            recommended=True,
            pros="The wrapper needs no search, and nothing is carried along for nothing.",
        ),
        Remedy(
            "Let the wrapper look for them",
            pros="Parts that are used now and then stay trainable.",
            cons="Walks through the graph in each step.",
            before="model = DistributedDataParallel(Net())",
            after="model = DistributedDataParallel(Net(), find_unused_parameters=True)",
        ),
    ),
    explains=("TD201", "TD204", "TD902", "TD903", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for the wrapper's refusal on any rank."""
    run = ask(CompareRanks())
    # Parameters that took the place of others that the wrapper waits for: another rule's business.
    exchanged = [name for row in run.digests for name in row.unwrapped]
    for row in run.ranks:
        refusal = next((e for e in row.exceptions if _REFUSAL in e.message), None)
        if refusal is not None and not exchanged:
            yield unused(run, row, refusal)
            return


def names_of(run: Trace, refusal: ExceptionRow) -> list[str]:
    """Return the parameters that a refusal names by number; none where it names none."""
    found = _INDICES.search(refusal.message)
    wrapped = [row.name for row in run.parameters if row.in_model and row.requires_grad]
    numbers = [int(number) for number in found[1].split()] if found else []
    return [wrapped[number] for number in numbers if number < len(wrapped)]


def unused(run: Trace, row: RankRow, refusal: ExceptionRow) -> Finding:
    """Return the finding, at the line that builds the wrapper."""
    names = names_of(run, refusal)
    told = f": {grouped(names)}" if names else ""
    wrapper = next((wrapper.place for wrapper in row.wrappers if wrapper.place), refusal.place)
    return UNUSED.finding(
        f"The wrapper raised when it was called after a backward pass in which parameters got no "
        f"gradient{told}.",
        mechanism="DistributedDataParallel waits for the gradient of each parameter that it was "
        "built with, and counts those that came.",
        location=first_location([wrapper, refusal.place]),
        also_at=[location(refusal.place)] if refusal.place else [],
        evidence=[Evidence("parameters without a gradient", len(names) or "unknown", 0)],
        quote=f"{refusal.type_name}: {refusal.message.split('. ')[0]}",
        title=f"{counted(len(names), 'parameter')} of the wrapped model get no gradient"
        if names
        else "Parameters of the wrapped model get no gradient",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareRanks(),)


probe = Probe(
    name="wrapped-parameters",
    doc=__doc__,
    rules=(UNUSED,),
    examine=examine,
    experiments=experiments,
)
