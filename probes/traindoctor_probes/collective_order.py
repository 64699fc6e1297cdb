"""Do all processes enter the same collectives, and messages that meet?

## What it measures
The last 128 exchanges that each rank entered, in a file that outlives an abort: collectives by
group, messages by sender and receiver, and backward passes of a DistributedDataParallel, with their
lines and sizes. Where a rank raised, was aborted or had to be ended: who waited for whom.

## Why it matters
A collective waits for every rank of its group, and a message for its other side. Ranks that enter
different ones wait for one another: the run hangs, is aborted by the backend, or goes on with
numbers from two different sums.

## Known limits
Told only of a run that broke, and only of what a rank stood in at its end. Nothing is compared
where another thread than the main one has exchanges, where a message is received from anybody,
inside `Join`, and of what lies further back than the last 128. Sizes are compared where they have
to be equal. With NCCL a call returns before the exchange is over: a rank stands where it asks the
device for a value, and that is not seen here.

## References
PyTorch, "Distributed communication package", `torch.distributed.monitored_barrier`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import CallRow, Trace
from traindoctor.trace.waits import (
    SAME_SIZES,
    Calls,
    circle,
    first_difference,
    kind,
    missing,
    named,
    standing,
)
from traindoctor_probes._ranks import unequal_passes

BACKWARD = "backward pass"
MOST_TOLD = 4  # ranks
Sides = list[tuple[int, CallRow]]

MISMATCH = Rule(
    code="TD907",
    name="collective-mismatch",
    severity=Severity.CRITICAL,
    title="Ranks do not meet: {names}",
    what="One rank enters a collective that another does not, or with tensors of another size; or "
    "a message is awaited that nobody sends.",
    why="The run hangs or is aborted at that line.",
    known_limits="Told of a run that broke, of what a rank stood in at its end. Exchanges of other "
    "threads and inside `Join` are not compared.",
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
    """Find out who waited for whom, in a run that broke."""
    run = ask(CompareRanks())
    if not any(row.exceptions or row.state == "running" for row in run.ranks):
        return
    calls = {row.rank: row.calls for row in run.ranks if row.calls}
    sides = first_difference(calls)
    around = circle(calls)
    waiting = left_alone(run, calls)
    if sides:
        yield mismatch(sides)
    elif around:
        yield waiting_around(calls, around)
    elif waiting is not None:
        yield alone(*waiting)


def mismatch(sides: Sides) -> Finding:
    """Return the finding on a turn that was not the same on all, at what the fewest entered."""
    counts = Counter(kind(call) for _, call in sides)
    odd = min(sides, key=lambda side: (counts[kind(side[1])], side[1].name == BACKWARD))[1]
    queue = "message between them" if odd.peer >= 0 else "collective"
    before = f"Up to their {queue} number {odd.turn - 1} they did the same. Then "
    return finding((before if odd.turn > 1 else "") + told(sides), odd, sides)


def waiting_around(calls: Calls, around: list[int]) -> Finding:
    """Return the finding on ranks of which each waits for the next."""
    stand = [(rank, call) for rank in around if (call := standing(calls[rank])) is not None]
    odd = min((call for _, call in stand), key=lambda call: (call.name == BACKWARD, call.number))
    return finding(f"Each waits for the next one: {told(stand)}.", odd, stand)


def left_alone(run: Trace, calls: Calls) -> tuple[int, CallRow, list[int]] | None:
    """Return a rank that stood in an exchange, and those it waited for, which had all ended well.

    Ranks that go through unequal numbers of batches are another rule's business.
    """
    returned = {row.rank for row in run.ranks if row.state == "returned" and not row.exceptions}
    for rank, own in calls.items():
        call = standing(own)
        if call is None or call.name == BACKWARD or unequal_passes(run):
            continue
        absent = missing(call, calls)
        if absent and set(absent) <= returned:
            return rank, call, absent
    return None


def alone(rank: int, call: CallRow, absent: list[int]) -> Finding:
    """Return the finding on an exchange that others never came to."""
    names = ", ".join(map(str, absent[:MOST_TOLD]))
    whom = f"rank {names}" if len(absent) == 1 else f"ranks {names}"
    message = f"{told([(rank, call)])}. It waited for {whom}, which came to an end without that."
    return finding(message[0].upper() + message[1:], call, [(rank, call)])


def finding(message: str, odd: CallRow, sides: Sides) -> Finding:
    """Return the finding, at one of the exchanges."""
    return MISMATCH.finding(
        message,
        mechanism="An exchange takes its turn with those of other ranks by order alone, in its "
        "group or between two. What one rank enters by itself meets what the others enter next.",
        location=first_location([odd.place]),
        also_at=[location(call.place) for _, call in sides[:MOST_TOLD] if call.place],
        evidence=[
            Evidence(f"exchange of rank {rank}", f"{named(call)}{sized(call)}", "met by the others")
            for rank, call in sides[:MOST_TOLD]
        ],
        names=" and ".join(sorted({named(call) for _, call in sides[:MOST_TOLD]})),
    )


def told(sides: Sides) -> str:
    """Say what each rank was in, and where."""
    each = [
        f"rank {rank} {'was in' if call.state == 'entered' else 'entered'} {named(call)}"
        f"{sized(call)} at line {call.place.line}"
        for rank, call in sides[:MOST_TOLD]
    ]
    more = len(sides) - MOST_TOLD
    return "; ".join(each) + (f"; {more} more ranks did as some of these" if more > 0 else "")


def sized(call: CallRow) -> str:
    """Return the size of a call, where that has to be equal."""
    is_told = call.name in SAME_SIZES or call.peer >= 0
    return f" of {counted(call.num_elements, 'element')}" if is_told else ""


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
