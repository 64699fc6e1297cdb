"""Do all processes enter the same collectives in the same order?

## What it measures
The last 64 collectives that each rank entered, backward passes of a DistributedDataParallel among
them, with their lines and sizes, in a file that outlives an abort; compared one by one where a
rank raised, was aborted or had to be ended.

## Why it matters
A collective waits for every rank. One that some ranks alone enter meets the next collective of the
others: the run hangs, is aborted by the backend, or goes on with numbers from two different sums.

## Known limits
Told only of a run that broke, and only if a rank's last collective is the first that differs. Calls
in groups of some ranks and between two ranks are not compared, and neither are those that modules
of torch enter by themselves. Sizes are compared where they have to be equal on all ranks.

## References
PyTorch, "Distributed communication package", `torch.distributed.monitored_barrier`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import CallRow, RankRow, Trace

SAME_SIZES = ("all_reduce", "reduce", "broadcast", "all_gather_into_tensor")
BACKWARD = "backward pass"
Sides = list[tuple[RankRow, CallRow]]

MISMATCH = Rule(
    code="TD907",
    name="collective-mismatch",
    severity=Severity.CRITICAL,
    title="Ranks wait in different collectives: {names}",
    what="One rank enters a collective that another does not, or with tensors of another size.",
    why="The run hangs or is aborted at that line.",
    known_limits="Told of a run that broke, if a rank's last collective is the first that differs. "
    "Groups of some ranks are not compared.",
    remedies=(
        Remedy(
            "Enter the collective on every rank; print on one",
            recommended=True,
            before="if rank == 0:\n    dist.all_reduce(total)\n    print(total)",
            after="dist.all_reduce(total)\nif rank == 0:\n    print(total)",
        ),
        Remedy(
            "Find such places with a time limit while developing",
            after='dist.init_process_group("gloo", timeout=timedelta(seconds=30))',
        ),
    ),
    explains=("TD904",),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Find the first collective that is not the same on all ranks, in a run that broke."""
    run = ask(CompareRanks())
    if not any(row.exceptions or row.state == "running" for row in run.ranks):
        return
    sides = first_difference(run)
    if sides and any(is_stuck(row, call) for row, call in sides):
        yield mismatch(sides)


def first_difference(run: Trace) -> Sides:
    """Return the calls of the first number at which ranks entered different collectives."""
    by_number: dict[int, Sides] = {}
    for row in run.ranks:
        for call in row.calls:
            by_number.setdefault(call.number, []).append((row, call))
    for _, sides in sorted(by_number.items()):
        if len({kind(call) for _, call in sides}) > 1:
            return sides
    return []


def kind(call: CallRow) -> tuple[str, int]:
    """Return what has to be equal on all ranks."""
    return call.name, call.num_elements if call.name in SAME_SIZES else 0


def is_stuck(row: RankRow, call: CallRow) -> bool:
    """Tell whether a call is its rank's last, and was not left well."""
    return call.number == max(c.number for c in row.calls) and call.state != "left"


def mismatch(sides: Sides) -> Finding:
    """Return the finding, at the collective that the fewest ranks entered."""
    counts = Counter(kind(call) for _, call in sides)
    odd = min(sides, key=lambda side: (counts[kind(side[1])], side[1].name == BACKWARD))[1]
    names = " and ".join(sorted({call.name for _, call in sides}))
    told = "; ".join(
        f"rank {row.rank} {'was in' if call.state == 'entered' else 'entered'} {call.name}"
        f"{sized(call)} at line {call.place.line}"
        for row, call in sides
    )
    return MISMATCH.finding(
        f"Up to their collective number {odd.number - 1} all ranks did the same. Then {told}.",
        mechanism="A collective takes its turn with the collectives of the other ranks by order "
        "alone. What one rank enters by itself meets whatever the others enter next.",
        location=first_location([odd.place]),
        also_at=[location(call.place) for _, call in sides if call.place],
        evidence=[
            Evidence(f"collective of rank {row.rank}", f"{call.name}{sized(call)}", "the same")
            for row, call in sides
        ],
        names=names,
    )


def sized(call: CallRow) -> str:
    """Return the size of a call, where that has to be equal."""
    return f" of {counted(call.num_elements, 'element')}" if call.name in SAME_SIZES else ""


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareRanks(),)


probe = Probe(
    name="collective-order",
    doc=__doc__,
    rules=(MISMATCH,),
    examine=examine,
    experiments=experiments,
)
