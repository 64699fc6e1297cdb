"""Is a graph retained that nobody goes through again?

## What it measures
For the first backward passes with `retain_graph=True`: the nodes of their graphs, by the numbers
that autograd gives them, and whether any later backward pass or `torch.autograd.grad` went through
one of them.

## Why it matters
A backward pass frees what each operation kept for its derivative. Told to retain it, it leaves all
activations of the step in memory while the next forward builds its own: the peak is nearly twice as
high. It also silences the error that a graph shared between steps would raise.

## Known limits
Twelve passes are looked at. Passes that create a graph of their own (`create_graph`) need theirs,
and are silent; so is a line that retains on some passes only.

## References
torch.Tensor.backward documentation: "in nearly all cases setting this option to True is not
needed".
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, location
from traindoctor.trace import GraphRow, Place

LEAST_PASSES = 3  # of one line

RETAINED = Rule(
    code="TD305",
    name="needless-retain-graph",
    severity=Severity.WARNING,
    title="retain_graph=True in {num_passes}, and no node is used again",
    what="Every backward pass of a line retains its graph, and nothing goes through it again.",
    why="The activations of a step stay in memory while the next one makes its own, and a graph "
    "that is shared between steps by mistake no longer raises.",
    known_limits="Judged over the first twelve backward passes.",
    remedies=(
        Remedy(
            "Leave it out",
            recommended=True,
            pros="If a second pass was needed after all, torch says so at once.",
            before="loss.backward(retain_graph=True)",
            after="loss.backward()",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each line that differentiates."""
    run = ask(ShortRun())
    run.require(backwards=1)
    lines: dict[Place, list[GraphRow]] = {}
    for row in run.graphs[:-1]:  # what comes after the last was not seen
        lines.setdefault(row.consumer_place, []).append(row)
    for place, rows in lines.items():
        is_retained = all(row.is_retained for row in rows)
        if len(rows) >= LEAST_PASSES and is_retained and not any(map(is_reused, rows)):
            yield retained(place, rows)


def is_reused(row: GraphRow) -> bool:
    """Tell a graph that later passes go through, or that goes through an earlier one."""
    return row.num_reached_again > 0 or row.num_stale > 0


def retained(place: Place, rows: list[GraphRow]) -> Finding:
    """Return the finding for one line."""
    passes = counted(len(rows), "backward pass")
    nodes = sorted(row.num_nodes for row in rows)[len(rows) // 2]
    return RETAINED.finding(
        f"{passes} retained a graph of {nodes} nodes each. No later backward pass, and no "
        "`torch.autograd.grad`, went through any of them.",
        mechanism="What the operations kept for their derivatives lives as long as the loss does: "
        "until the variable is given the next step's loss, which is when the next forward is over.",
        location=location(place),
        evidence=[
            Evidence("backward passes that retained their graph", len(rows)),
            Evidence("nodes gone through again", 0, "> 0 where it is needed"),
        ],
        num_passes=passes,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="retained-graphs",
    doc=__doc__,
    rules=(RETAINED,),
    examine=examine,
    experiments=experiments,
)
