"""Do two backward passes go through the same graph?

## What it measures
Where a backward pass fails: the graph nodes behind each of a few passes, compared pass by pass,
and on which line the value was made that two of them share. For "modified by an inplace operation"
it watches which operations overwrite a tensor with a history.

## Why it matters
What a node saved for its derivative is freed when a backward pass has gone through it. The next
pass that reaches it fails. What fails for that reason cannot be trained at all.

## Known limits
The line of a value that was computed before traindoctor started to watch (in an imported module) is
not known. A graph that is shared and retained, so that nothing fails, is the matter of TD302.

## References
torch.autograd, "Automatic differentiation package"; `Node.metadata` under anomaly detection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traindoctor.experiments import Experiment, ShortRun, WatchGraph
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import ExceptionRow, GraphRow, OperationRow, Trace

TWICE = Rule(
    code="TD301",
    name="backward-twice",
    severity=Severity.CRITICAL,
    title="Backward reaches {num_stale} graph nodes that an earlier backward has used up",
    what="A value computed for one step is part of the graph of the next.",
    why="The second backward pass fails, because what the first one needed is freed.",
    known_limits="A value from before the watch began has no line; its module is named instead.",
    remedies=(
        Remedy(
            "Detach what is kept from one step to the next",
            recommended=True,
            pros="Each step has a graph of its own; gradients end where the step began.",
            after="self.hidden = hidden.detach()",
        ),
        Remedy(
            "Compute it anew in each step",
            pros="Its parameters go on learning.",
            cons="Costs its forward pass in every step.",
        ),
        Remedy(
            "backward(retain_graph=True)",
            cons="Hides the fault: the graph grows with every step until memory ends.",
        ),
    ),
    explains=("TD1", "TD2", "TD302", "TD403", "TD404", "TD501", "TD502", "TD6", "TD807"),
)
INPLACE = Rule(
    code="TD303",
    name="inplace-modified",
    severity=Severity.CRITICAL,
    title="{operation} overwrites a tensor that backward needs",
    what="An in-place operation changed a value that a derivative was to be computed from.",
    why="Backward stops: the value it needs is gone.",
    known_limits="Of several writes to tensors of the same shape the last one is named.",
    remedies=(
        Remedy(
            "Write the result to a new tensor",
            recommended=True,
            before="x += update",
            after="x = x + update",
        ),
        Remedy(
            "Clone the tensor before it is written to",
            cons="One more copy in memory.",
            after="x = x.clone()\nx += update",
        ),
    ),
    explains=("TD1", "TD2", "TD403", "TD404", "TD501", "TD502", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look closer where a short run met one of the errors."""
    run = ask(ShortRun())
    twice = next((row for row in run.exceptions if "second time" in row.message), None)
    written = next((row for row in run.exceptions if "inplace operation" in row.message), None)
    raised = twice or written
    if raised is None:
        run.require(backwards=1)
        return
    watched = ask(WatchGraph())
    shared = [row for row in watched.graphs if row.num_stale]
    if written is not None and not shared:
        yield overwritten(written, watched)
        return
    # An optimizer writes to the weights in place: a graph that outlives its step fails at that.
    yield backward_twice(raised, shared[0] if shared else None)


def backward_twice(raised: ExceptionRow, shared: GraphRow | None) -> Finding:
    """Return the finding that names the value which two steps share."""
    row = shared or GraphRow(backward=0)
    return TWICE.finding(
        f"Backward number {row.backward + 1} goes through {row.num_nodes} nodes, and "
        f"{row.num_stale} of them belong to an earlier pass. {cause(row)}",
        mechanism="Each operation keeps for its derivative what it was computed from, until a "
        "backward pass has gone through it. A tensor that outlives its step carries the "
        "operations behind it into the next step, where their values are gone.",
        location=first_location([row.place, row.consumer_place, raised.place], module=row.module),
        also_at=[location(place) for place in (row.consumer_place, raised.place) if place],
        evidence=[
            Evidence("nodes shared with an earlier backward", row.num_stale, 0),
            Evidence("nodes of this backward", row.num_nodes),
            Evidence("made by", row.operation or "unknown"),
            Evidence("kept in", f"{row.holder}.{row.attribute}" if row.holder else "unknown"),
        ],
        quote=raised.message.splitlines()[0],
        num_stale=row.num_stale,
    )


def cause(row: GraphRow) -> str:
    """Say which kind of sharing it is."""
    if row.is_same_loss:
        return "It is the same loss, differentiated a second time."
    if row.is_earlier_loss:
        return "An earlier step's loss is part of this one: losses are added up as tensors."
    if row.holder:
        return f"`{row.holder}.{row.attribute}` keeps a tensor of the earlier step."
    whose = f" by `{row.module}`" if row.module else ""
    if row.is_from_before:
        return f"It was computed{whose} once, before the first step, and every step uses it."
    return f"It was computed{whose} in an earlier step and kept."


def overwritten(raised: ExceptionRow, watched: Trace) -> Finding:
    """Return the finding that names the write."""
    shape = re.search(r"\[([\d, ]*)\]\], which", raised.message)
    numbers = tuple(int(n) for n in shape[1].split(",") if n.strip()) if shape else None
    writes = [op for op in watched.operations if op.direction == "in-place"]
    fitting = [op for op in writes if op.place and op.input_shapes[:1] == (numbers,)]
    row = (fitting or [OperationRow(operation="an in-place operation")])[-1]
    maker = re.search(r"output \d+ of (\w+?)(?:Backward)?\d*,", raised.message)
    made_by = maker[1].removesuffix("Backward") if maker else "unknown"
    return INPLACE.finding(
        f"A tensor of shape {list(numbers or ())}, the output of {made_by}, is written to by "
        f"`{row.operation}` before backward has used it.",
        mechanism="Autograd counts the writes to each tensor. The derivative of "
        f"{made_by} needs the value as it was, and the count says that it was changed since.",
        location=first_location([row.place, raised.place], module=row.module),
        evidence=[
            Evidence("operation that writes", row.operation),
            Evidence("operation whose output is overwritten", made_by),
            Evidence("shape", str(list(numbers or ()))),
        ],
        quote=raised.message.splitlines()[0],
        operation=row.operation,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="graph-reuse",
    doc=__doc__,
    rules=(TWICE, INPLACE),
    examine=examine,
    experiments=experiments,
)
