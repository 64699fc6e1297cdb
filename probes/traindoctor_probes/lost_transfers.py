"""Does what processes send one another arrive where it is used?

## What it measures
Of the first eight exchanges from each line: the bits of the gradients or weights that a sum or a
broadcast was given, in place or as a copy, before it and again when the next step begins; whether
it was waited for; whether the tensors that a gathering fills have memory of their own; and the
sizes of both sides of a message.

## Why it matters
An exchange writes into the tensor that it is given and nowhere else. A sum that stays in a copy, or
is read before it is there, leaves every rank with what it had: each trains on its own.

## Known limits
Copies are known by being multiples of a gradient or weight of eight elements or more, or of all of
them end to end; one that is clipped or otherwise changed before the step is missed. Nothing is said
where all ranks hold the same values before, where parameters are sharded, and of sparse gradients,
whose bits are not compared. What is received into a tensor that nobody keeps is not seen, and
neither is how messages that were not waited for are used. Messages of varying length that are
received in a buffer of one size are left alone.

## References
PyTorch, "Distributed communication package": asynchronous collectives, point-to-point
communication.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from traindoctor.errors import CannotJudge
from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import counted, first_location, grouped
from traindoctor.trace import ExchangeRow, Trace
from traindoctor_probes._ranks import refuse_what_cannot_be_compared

Side = tuple[int, ExchangeRow]  # with its rank
BOTH_SIDES = LEAST_MESSAGES = 2

COPY_BACK = Remedy(
    "Write what was received to where it is used",
    recommended=True,
    before="gradient = p.grad / world_size\ndist.all_reduce(gradient)",
    after="gradient = p.grad / world_size\ndist.all_reduce(gradient)\np.grad.copy_(gradient)",
)
WAIT = Remedy(
    "Wait for the exchange before its tensor is used",
    before="dist.all_reduce(p.grad, async_op=True)\noptimizer.step()",
    after="work = dist.all_reduce(p.grad, async_op=True)\nwork.wait()\noptimizer.step()",
)
OWN_MEMORY = Remedy(
    "Give each rank a tensor of its own to be received in",
    before="parts = [torch.empty_like(x)] * world_size",
    after="parts = [torch.empty_like(x) for _ in range(world_size)]",
)
SAME_SIZE = Remedy(
    "Receive as many elements as are sent",
    before="dist.recv(torch.zeros(max_length), source)",
    after="dist.recv(length, source)\ndist.recv(torch.empty(int(length)), source)",
)

LOST = Rule(
    code="TD908",
    name="transfer-lost-data",
    severity=Severity.CRITICAL,
    title="What {name} brings does not arrive: {how}",
    what="A tensor that others have sent something to is, where it is used, as it was before.",
    why="Each rank goes on with its own values, or with those of one other.",
    known_limits="Copies are known by their values; one that is changed before the step is missed. "
    "Silent where all ranks hold the same values, or parameters are sharded.",
    remedies=(COPY_BACK, WAIT, OWN_MEMORY, SAME_SIZE),
    explains=("TD902", "TD903"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for the first exchange of each line that did not arrive on some rank."""
    run = ask(CompareRanks())
    told: set[object] = set()
    for sides in exchanges(run):
        row = sides[0][1]
        finding = shared(sides) or short(run, sides) or stale(run, sides)
        if finding is not None and row.place not in told:
            told.add(row.place)
            yield finding


def exchanges(run: Trace) -> list[list[Side]]:
    """Return the sides of each exchange that was looked at, in the order of the first rank's."""
    by_turn: dict[tuple[str, int], list[Side]] = defaultdict(list)
    for rank in run.ranks:
        for row in rank.exchanges:
            by_turn[row.queue, row.turn].append((rank.rank, row))
    return [sides for sides in by_turn.values() if len(sides) > 1]


def shared(sides: list[Side]) -> Finding | None:
    """Return a finding on a gathering into tensors that are one, if what was sent differs."""
    rank, row = next(((r, x) for r, x in sides if x.num_distinct < x.num_outputs), sides[0])
    sent = {side.sent for _, side in sides}
    if row.num_distinct >= row.num_outputs or len(sent) < BOTH_SIDES or None in sent:
        return None
    return LOST.finding(
        f"On rank {rank} the {row.num_outputs} tensors that it fills have the memory of "
        f"{row.num_distinct}. What one rank sends takes the place of what the others have sent.",
        mechanism="A list that is multiplied holds the same tensor several times.",
        location=first_location([row.place]),
        evidence=[Evidence("tensors with memory of their own", row.num_distinct, row.num_outputs)],
        remedies=(OWN_MEMORY,),
        name=row.name,
        how="its tensors share memory",
    )


def short(run: Trace, sides: list[Side]) -> Finding | None:
    """Return a finding on messages that are shorter than what they are received in."""
    sent = next((row for _, row in sides if row.name == "send"), None)
    got = next(((rank, row) for rank, row in sides if row.name == "recv"), None)
    if sent is None or got is None or got[1].num_bytes <= sent.num_bytes:
        return None
    alike = [x for one in run.ranks for x in one.exchanges if x.place == sent.place]
    if len(alike) < LEAST_MESSAGES or len({x.num_bytes for x in alike}) > 1:
        return None  # what they are received in may be as large as the longest
    rank, row = got
    return LOST.finding(
        f"Rank {rank} receives {row.num_bytes} bytes from rank {row.peer}, which sends "
        f"{sent.num_bytes} at line {sent.place.line}. The last "
        f"{counted(row.num_bytes - sent.num_bytes, 'byte')} stay as they were.",
        severity=Severity.WARNING,
        confidence=Confidence.LIKELY,
        mechanism="A message that is too short fills the beginning of a tensor, without an error.",
        location=first_location([row.place]),
        evidence=[Evidence("bytes that are sent", sent.num_bytes, row.num_bytes)],
        remedies=(SAME_SIZE,),
        name=row.name,
        how="it is sent less",
    )


def stale(run: Trace, sides: list[Side]) -> Finding | None:
    """Return a finding on gradients or weights that are as before at the step that follows."""
    rank, row = next(((r, x) for r, x in sides if x.is_still and is_lost(x)), sides[0])
    if not (row.is_still and is_lost(row)) or not is_meant(run, row):
        return None
    if any(other.originals != row.originals for _, other in sides) or not differ(sides):
        return None
    what = f"the {row.of} of {grouped(row.originals)}"
    why = (
        f"It is given a copy of {what}." if row.is_copy else f"It is given {what}, not waited for."
    )
    return LOST.finding(
        f"{why} They differ between the ranks, and when the next step begins on rank {rank} they "
        "are as they were before, bit for bit.",
        mechanism="An exchange writes into the tensor that it is given, and is done when it was "
        "waited for. A copy has memory of its own.",
        location=first_location([row.place]),
        evidence=[
            Evidence(f"{row.of} that have changed by the step", 0, len(row.originals)),
            Evidence("ranks on which they differ before", len(sides)),
        ],
        remedies=(COPY_BACK,) if row.is_copy else (WAIT,),
        name=row.name,
        how=f"the {row.of} stay as they are",
    )


def is_lost(row: ExchangeRow) -> bool:
    """Tell an exchange whose result is in a copy, or was not waited for."""
    return row.is_changed if row.is_copy else not row.is_waited


def differ(sides: list[Side]) -> bool:
    """Tell whether ranks had other values before."""
    columns = zip(*(row.original_bits for _, row in sides), strict=False)
    return any(len({bits for bits in column if bits is not None}) > 1 for column in columns)


def is_meant(run: Trace, row: ExchangeRow) -> bool:
    """Tell whether the ranks train one model: its weights were to be equal, or are at first."""
    try:
        refuse_what_cannot_be_compared(run)
    except CannotJudge:
        return False
    first = [step for step in run.digests if step.step == 1]
    return row.of == "weights" or len({step.before for step in first}) == 1


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareRanks(),)


probe = Probe(
    name="lost-transfers",
    doc=__doc__,
    rules=(LOST,),
    examine=examine,
    experiments=experiments,
)
