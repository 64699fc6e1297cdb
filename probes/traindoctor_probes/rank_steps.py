"""Do all processes take the same number of steps?

## What it measures
The batches that each rank got in the same pass over its loader, the steps it took, and how it
ended.

## Why it matters
A backward pass waits until every rank is in it. The rank with one batch more waits for ever, until
a time limit of half an hour, or until the others end and its connection breaks.

## Known limits
Unequal passes are reported only where the rank with more batches raised or was ended from outside:
with `Join`, or where nothing waits, they do no harm. That it raised for lack of the others, and not
by a fault of its own, is not proven. Loops without a loader are not seen.

## References
PyTorch, `torch.distributed.algorithms.Join`.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import PassRow, RankRow
from traindoctor_probes._ranks import listed, unequal_passes

UNEQUAL = Rule(
    code="TD904",
    name="unequal-steps",
    severity=Severity.ERROR,
    title="Ranks get {fewest} and {most} batches in the same epoch",
    what="One rank has more batches than another, and waits for it in a backward pass.",
    why="The run hangs or breaks off at the end of an epoch.",
    known_limits="Told only where the rank with more batches raised or was ended from outside. "
    "Loops without a loader are not seen.",
    remedies=(
        Remedy(
            "Give each rank the same number of batches",
            recommended=True,
            pros="DistributedSampler makes shares of one size: it repeats or drops a few samples.",
            before="loader = DataLoader(Subset(dataset, range(rank, len(dataset), world_size)))",
            after="sampler = DistributedSampler(dataset)\n"
            "loader = DataLoader(dataset, sampler=sampler)",
        ),
        Remedy(
            "Let ranks that have no more batches join",
            cons="Costs a collective a step.",
            after="with Join([model]):\n    for batch in loader:\n        ...",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for a pass that one rank ended while another went on, in a run that broke."""
    run = ask(CompareRanks())
    for sides in unequal_passes(run):
        most = max(one.num_batches for _, one in sides)
        longer = [row for row, one in sides if one.num_batches == most]
        if any(is_broken(row) for row in longer):
            yield unequal(sides)
            return


def is_broken(row: RankRow) -> bool:
    """Tell whether a rank raised, or was ended from outside."""
    return bool(row.exceptions) or row.state == "running"


def unequal(sides: tuple[tuple[RankRow, PassRow], ...]) -> Finding:
    """Return the finding, at the loader."""
    row, longest = max(sides, key=lambda side: side[1].num_batches)
    fewest = min(one.num_batches for _, one in sides)
    each = listed([f"rank {rank.rank}: {one.num_batches}" for rank, one in sides])
    steps = listed([f"rank {rank.rank}: {rank.num_steps}" for rank, _ in sides])
    raised = row.exceptions[-1] if row.exceptions else None
    ended = (
        f"raised {raised.type_name}"
        if raised is not None
        else "was still running when it was ended"
    )
    loader = next((known for known in row.loaders if known.index == longest.loader), None)
    places = [loader.place] if loader is not None else []
    return UNEQUAL.finding(
        f"In epoch {longest.number + 1} one rank was through after {counted(fewest, 'batch')}; "
        f"rank {row.rank} went on to batch {longest.num_batches} and {ended}.",
        mechanism="DistributedDataParallel averages the gradients of all ranks in each backward "
        "pass. A rank that has no batch left does not come to it.",
        location=first_location([*places, longest.place]),
        evidence=[
            Evidence("batches in the pass", each, "equal"),
            Evidence("optimizer steps", steps, "equal"),
        ],
        quote=f"{raised.type_name}: {raised.message.splitlines()[0]}" if raised else "",
        subject=str(longest.loader),
        fewest=fewest,
        most=longest.num_batches,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareRanks(),)


probe = Probe(
    name="rank-steps",
    doc=__doc__,
    rules=(UNEQUAL,),
    examine=examine,
    experiments=experiments,
)
