"""Do graphs of earlier steps live on?

## What it measures
Two ways in which they do. The nodes behind each of the first backward passes, compared pass by
pass: how many there are, and how many an earlier pass went through already. And over a longer run,
how many earlier passes have left something in memory that still refers to their graph: each graph
is marked, and the mark goes when the graph goes.

## Why it matters
A loss that is added up as a tensor carries the graph of every step before it. Where it is
differentiated again, each step takes longer than the last; where it is only kept, for a plot or a
mean, memory grows by a graph a step until there is none left.

## Known limits
Two optimizers that share a forward on purpose share nodes within a batch; only sharing across
batches is called growth. Graphs are called kept from 24 on, and from 8 on where every one is kept
in one epoch after the other; deques with a maximal length are not spoken of. Which variable keeps
them is looked for in the functions that run, their objects and lists; elsewhere it is not found.

## References
PyTorch FAQ, "My model reports 'cuda runtime error(2): out of memory'": don't accumulate history
across your training loop.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, LongRun, ReadSource, ShortRun, WatchGraph
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Series,
    Severity,
)
from traindoctor.probing.syntax import additions, function_at
from traindoctor.probing.wording import first_location
from traindoctor.trace import GraphRow, KeptRow, Place, SourceRow, Trace
from traindoctor_probes._shared_values import cause
from traindoctor_probes._training_loops import spot
from traindoctor_probes._unrun import kept_losses

WINDOW = 4  # backward passes in a row that each go through more nodes
LEAST_KEPT = 24  # graphs
LEAST_OF_EPOCH = 8  # graphs that are let go with each epoch, if it was every one
WHOLE = 0.9  # of the passes: every one
BOUNDED = "bounded deque"
LEAST_SHARE = 0.1  # of the passes in that time whose graph is kept
STILL = 0.5  # of that share in the newest stretch of time: it has not come to rest

NUMBER = Remedy(
    "Keep the number, not the tensor",
    recommended=True,
    pros="Each graph is freed when its step is over.",
    before="total = total + loss",
    after="total += loss.item()",
)
DETACH = Remedy(
    "Detach what is carried over to the next step",
    pros="Nothing is read back to the host, and gradients end where the step began.",
    after="hidden = hidden.detach()",
)
GROWS = Rule(
    code="TD302",
    name="graph-grows",
    severity=Severity.ERROR,
    title="{what}: {first}, then {last}",
    what="The graphs of earlier steps are kept, or gone through again in every later step.",
    why="Memory grows with every step until it ends; where the graphs are gone through again, so "
    "does the time of a step, and old steps get gradients again.",
    known_limits="Caches that come to rest, and deques with a maximal length, are not spoken of.",
    remedies=(NUMBER, DETACH),
    explains=("TD301", "TD305", "TD205"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the graphs that a few passes go through, then at those that a longer run keeps."""
    run = ask(ShortRun())
    run.require(backwards=1)
    if any("second time" in row.message or "inplace" in row.message for row in run.exceptions):
        return  # it cannot go on: TD301 and TD303 say why
    shared = sharing(ask, run) if grows([row.num_nodes for row in run.backwards]) else None
    if shared is not None:
        yield growing(shared, ask)
        return
    long = ask(LongRun())
    stretch = longest_growth(long.kept) or epochs_growth(long)
    if stretch:
        yield keeping(stretch, long, ask(ReadSource()).source)


def grows(sizes: list[int]) -> bool:
    """Tell whether a few backward passes in a row each went through more nodes than the last.

    Texts of different lengths do that too, by chance: it is reason to look closer, no more.
    """
    windows = (sizes[start : start + WINDOW] for start in range(len(sizes) - WINDOW + 1))
    return any(w[0] > 0 and sorted(set(w)) == w for w in windows)


def sharing(ask: Ask, run: Trace) -> tuple[GraphRow, ...] | None:
    """Return the passes, if nodes of earlier batches are among those of later ones.

    Where the graphs cannot be watched once more, those of the run itself are taken.
    """
    try:
        graphs = ask(WatchGraph()).graphs
    except ExperimentFailed:
        graphs = run.graphs
        if not grows([row.num_stale for row in graphs if row.num_stale]):
            return None
    across = len({row.batch for row in graphs}) > 1
    return graphs if across and any(row.num_stale for row in graphs) else None


def growing(graphs: tuple[GraphRow, ...], ask: Ask) -> Finding:
    """Return the finding for graphs that later passes go through again."""
    sizes = [row.num_nodes for row in graphs]
    row = [row for row in graphs if row.num_stale][-1]
    places = [row.consumer_place, row.place] if row.operation else []
    if not row.operation:  # nobody watched where nodes are made: whoever keeps them knows
        kept = ask(LongRun()).kept[-1:]
        places = [*adding_lines(ask(ReadSource()).source, kept), row.consumer_place]
    return GROWS.finding(
        f"{len(sizes)} backward passes went through {', '.join(map(str, sizes))} nodes; "
        f"{row.num_stale} of the last are from earlier steps. {cause(row)}",
        location=first_location(places, module=row.module),
        evidence=[
            Evidence("nodes at the last backward", sizes[-1], sizes[0]),
            Evidence("nodes from earlier steps", row.num_stale, 0),
        ],
        remedies=(replace(DETACH, recommended=True), replace(NUMBER, recommended=False)),
        what="The graph grows with every step",
        first=f"{sizes[0]} nodes",
        last=str(sizes[-1]),
    )


def longest_growth(rows: tuple[KeptRow, ...]) -> tuple[KeptRow, ...]:
    """Return the rows over which the kept graphs grew to the most; none where that is no leak."""
    best = max(stretches(rows), key=_gain, default=[])
    if len(best) < 2 or best[-1].kind == BOUNDED or _gain(best) < LEAST_KEPT:
        return ()
    first, last = best[0], best[-1]
    middle = (first.backward + last.backward) / 2
    late = [row for row in best[:-1] if row.backward >= middle]
    if not late or _share_kept(first, last) < LEAST_SHARE:
        return ()
    goes_on = _share_kept(late[-1], last) >= STILL * _share_kept(first, last)
    return tuple(best) if goes_on else ()


def epochs_growth(run: Trace) -> tuple[KeptRow, ...]:
    """Return the rows of an epoch in which every graph was kept, where one after the other was so.

    Passes that retain their graph for the next ones (backward through the last few steps) have
    their reasons.
    """
    if any(row.is_retained for row in run.graphs) or not run.kept or not run.kept[-1].holder:
        return ()
    every = [
        part
        for part in stretches(run.kept)
        if len(part) > 1 and _share_kept(part[0], part[-1]) >= WHOLE
    ]
    long = [part for part in every if _gain(part) >= LEAST_OF_EPOCH]
    is_bounded = run.kept[-1].kind == BOUNDED
    return tuple(long[0]) if long and len(every) > 1 and not is_bounded else ()


def stretches(rows: tuple[KeptRow, ...]) -> list[list[KeptRow]]:
    """Cut the rows where graphs were let go."""
    found: list[list[KeptRow]] = []
    for row in rows:
        if not found or row.num_kept < found[-1][-1].num_kept:
            found.append([])
        found[-1].append(row)
    return found


def _gain(rows: list[KeptRow]) -> int:
    return rows[-1].num_kept - rows[0].num_kept


def _share_kept(first: KeptRow, last: KeptRow) -> float:
    return (last.num_kept - first.num_kept) / (last.backward - first.backward)


def keeping(stretch: tuple[KeptRow, ...], run: Trace, source: tuple[SourceRow, ...]) -> Finding:
    """Return the finding for graphs that something keeps."""
    first, last = stretch[0], stretch[-1]
    passed, gained = last.backward - first.backward, last.num_kept - first.num_kept
    falls = [a.num_kept for a, b in pairwise(run.kept) if b.num_kept < a.num_kept / 2]
    is_freed = max(falls, default=0) >= gained / 2
    nodes = max((row.num_nodes for row in run.graphs), default=0)
    backward = next((row.place for row in run.backwards if row.place), Place())
    holds = f"`{last.holder}` ({last.kind}) keeps" if last.holder else "Something keeps"
    return GROWS.finding(
        f"{holds} the graphs of earlier steps: over {passed} backward passes {gained} of them "
        f"stayed in memory, each of {nodes} nodes"
        + (". They are let go at times, all at once." if is_freed else ", and none was let go."),
        severity=Severity.WARNING if is_freed else None,
        confidence=None if last.holder else Confidence.LIKELY,
        mechanism="A tensor that requires a gradient refers to the operations that made it, and "
        "these to those before them. Whoever keeps the tensor, or adds it to another, keeps its "
        "whole graph.",
        location=first_location([*adding_lines(source, (last,)), last.place, backward]),
        evidence=[
            Evidence("graphs of earlier steps in memory", last.num_kept, 0),
            Evidence("backward passes in that time", passed),
            *([Evidence(f"of them behind `{last.holder}`", last.num_held)] if last.holder else []),
        ],
        series=[
            Series(
                "graphs of earlier steps in memory",
                tuple(row.backward for row in run.kept),
                tuple(row.num_kept for row in run.kept),
            )
        ],
        subject=last.holder,
        what=f"{last.holder or 'Something'} keeps the graph of every step",
        first=f"{first.num_kept} in memory",
        last=str(last.num_kept),
    )


def adding_lines(source: tuple[SourceRow, ...], rows: tuple[KeptRow, ...]) -> list[Place]:
    """Return the lines that add to the variable which keeps graphs, in the function that has it."""
    found: list[Place] = []
    for row in rows:
        function = function_at(source, row.place)
        here = tuple(item for item in source if item.file == row.place.file)
        first, last = (function.lineno, function.end_lineno) if function else (0, None)
        for place, target in additions(here, row.holder.rpartition(".")[2]):
            is_inside = first <= (place.line or 0) <= (last or place.line or 0)
            if is_inside or ("." in row.holder and isinstance(target, ast.Attribute)):
                found.append(place)
    return found


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return ShortRun(), LongRun()


def lint(row: SourceRow) -> Iterator[Finding]:
    """Yield totals to which losses are added with their graphs."""
    for statement, total in kept_losses(row):
        yield GROWS.suspicion(
            f"`{ast.unparse(statement)}` keeps the graph of every batch",
            f"`{total}` holds each loss with what autograd knows of it; `.item()` or `.detach()` "
            "leaves that behind.",
            location=spot(row, statement),
            subject=total,
        )


probe = Probe(
    name="graph-growth",
    doc=__doc__,
    rules=(GROWS,),
    examine=examine,
    experiments=experiments,
    lint=lint,
)
