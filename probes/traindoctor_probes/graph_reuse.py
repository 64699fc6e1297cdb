"""Do two backward passes go through the same graph?

## What it measures
Where a backward pass fails: the graph nodes behind each of a few passes, compared pass by pass,
on which line the value was made that two of them share, and who keeps it. Parameters that were
handed over with a graph behind them are put in their places for this alone. For "modified by an
inplace operation" it watches which operations overwrite a tensor with a history.

## Why it matters
What a node saved for its derivative is freed when a backward pass has gone through it. The next
pass that reaches it fails. What fails for that reason cannot be trained at all.

## Known limits
The line of a value that an imported module computed, before the factory was called, is not known.
A graph that is shared and retained, so that nothing fails, is the matter of TD302.

## References
torch.autograd, "Automatic differentiation package"; `Node.metadata` under anomaly detection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, ReadSource, ShortRun, WatchGraph
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import ExceptionRow, GraphRow, OperationRow, Trace
from traindoctor_probes._shared_values import (
    cause,
    detached,
    is_frozen,
    keeper,
    origin,
    with_keeper,
)

TWICE = Rule(
    code="TD301",
    name="backward-twice",
    severity=Severity.CRITICAL,
    title="Backward goes again through {num_stale} graph nodes{kept}",
    what="A value computed for one step is part of the graph of the next.",
    why="The second backward pass fails, because what the first one needed is freed.",
    known_limits="A value that importing a module computed has no line; who keeps it is named.",
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
            cons="Hides the fault: every step goes through the old graph as well, and the memory "
            "of that is never freed.",
        ),
    ),
    explains=(
        "TD101",
        "TD103",
        "TD2",
        "TD302",
        "TD403",
        "TD404",
        "TD501",
        "TD502",
        "TD6",
        "TD807",
    ),
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
    """Look closer where a short run met one of the errors, or began with a graph behind it."""
    run = ask(ShortRun())
    written = next((row for row in run.exceptions if "inplace operation" in row.message), None)
    is_suspicious = written or any(map(is_second_time, run.exceptions))
    if not is_suspicious and not run.setup.inherited:
        run.require(backwards=1)
        return
    watched = looked_closer(ask, run)
    shared = [row for row in watched.graphs if row.num_stale]
    if written is not None and not shared:
        yield overwritten(written, watched)
        return
    # An optimizer writes to the weights in place: a graph that outlives its step fails at that.
    twice = next(filter(is_second_time, (*watched.exceptions, *run.exceptions)), None)
    raised = twice or written
    if raised is not None:
        last = [row for row in shared if row.backward == shared[-1].backward]
        for number, row in enumerate(last or [None]):
            named_row = row and with_keeper(row, ask(ReadSource()).source, raised.place)
            yield backward_twice(raised, named_row, watched, is_first=not number)


def looked_closer(ask: Ask, run: Trace) -> Trace:
    """Return the run with its graphs compared; as it was seen, where it cannot be run again.

    Raises:
        ExperimentFailed: nothing raised, so that there is nothing to tell without it.
    """
    try:
        return ask(WatchGraph())
    except ExperimentFailed:
        if not run.exceptions:
            raise
        return run


def is_second_time(row: ExceptionRow) -> bool:
    """Tell autograd's complaint of a graph that is used up."""
    return "second time" in row.message


def backward_twice(
    raised: ExceptionRow, shared: GraphRow | None, watched: Trace, is_first: bool
) -> Finding:
    """Return the finding that names one value which two steps share."""
    row = shared or GraphRow(backward=0)
    kind, sentence = cause(row, is_frozen(row, watched))
    number = row.num_behind or row.num_stale
    which, where = "lie behind one value that is older than its step", "behind this value"
    if not row.num_behind:  # as a watched run has it
        which, where = "are older", "of earlier steps"
    counts = (
        f"Backward number {row.backward + 1} goes through {row.num_nodes} nodes, and "
        f"{number} of them {which}. "
        if shared
        else "The nodes that two steps share were not seen again. "
    )
    others = (row.module_place, row.consumer_place, raised.place)
    # Nothing is wrong with the line that makes a loss which is differentiated a second time.
    first = (raised.place, row.place) if row.is_same_loss else (row.place, *others[1:])
    return TWICE.finding(
        counts + sentence,
        mechanism="Each operation keeps for its derivative what it was computed from, until a "
        "backward pass has gone through it. A tensor that outlives its step carries the "
        "operations behind it into the next step, where their values are gone.",
        location=first_location(first, module=row.module),
        also_at=[location(place) for place in others if place],
        evidence=[
            Evidence(f"graph nodes {where}", number, 0),
            Evidence("graph nodes of this backward pass", row.num_nodes),
            Evidence("kind", kind),
            *([Evidence("made by", row.operation)] if row.operation else []),
            *([Evidence("kept in", keeper(row))] if keeper(row) else []),
            *origin(row, watched),
        ],
        remedies=remedies(row),
        quote=f"{raised.type_name}: {raised.message.partition('. ')[0].splitlines()[0]}"
        if is_first
        else "",
        subject=keeper(row),
        num_stale=number,
        kept=f", kept in {keeper(row)}" if keeper(row) else " that an earlier one has used up",
    )


def remedies(row: GraphRow) -> list[Remedy] | None:
    """Return the ways out, the first one made of the user's own line where that can be done."""
    if row.parameters:
        return [
            Remedy(
                "Copy the weights without their graph",
                recommended=True,
                pros="The values are the same; nothing is remembered of where they came from.",
                before=row.place.text,
                after=f"with torch.no_grad():\n    {row.place.text}",
            ),
            TWICE.remedies[2],
        ]
    after = detached(row.place.text, row.operation)
    if not after:
        return None
    first = replace(TWICE.remedies[0], before=row.place.text, after=after)
    return [first, *TWICE.remedies[1:]]


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
