"""Does each process train on data of its own?

## What it measures
Digests of the batches that loaders gave on each rank, pass by pass, beside those of the other
ranks, where gradients are averaged over the ranks.

## Why it matters
The average of two equal gradients is the gradient of one. Every rank computes what the first one
computes: N processes cost N times as much and learn as fast as one, while the log counts N times
the samples.

## Known limits
Two passes that are equal in part, or hold the same samples in another order, are not told. A batch
that is the whole data set, and data that no loader gives, are not looked at. Ranks that divide one
model among them (tensor parallelism) read the same data on purpose: only where gradients are
averaged by DistributedDataParallel, or by collectives on gradients, is anything said.

## References
PyTorch, `torch.utils.data.distributed.DistributedSampler`.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location
from traindoctor.trace import LoaderRow, PassRow, RankRow
from traindoctor_probes._ranks import is_data_parallel, listed, trained_passes

LEAST_DIFFERENT = 2  # batches in a pass: one and the same batch again and again tells nothing

SAME_DATA = Rule(
    code="TD901",
    name="ranks-see-same-data",
    severity=Severity.ERROR,
    title="{num_ranks} ranks train on the same batches",
    what="Two processes of one training are given identical batches.",
    why="Their gradients are equal: the average learns what one process alone would learn.",
    known_limits="Equal samples in another order, data that no loader gives, and a batch that is "
    "the whole data set are not seen. Only where gradients are averaged over the ranks.",
    remedies=(
        Remedy(
            "Give each rank its share by a DistributedSampler",
            recommended=True,
            pros="Shares of equal size, shuffled anew in each epoch.",
            before="loader = DataLoader(dataset, batch_size=32, shuffle=True)",
            after="sampler = DistributedSampler(dataset)\n"
            "loader = DataLoader(dataset, batch_size=32, sampler=sampler)\n"
            "for epoch in range(num_epochs):\n    sampler.set_epoch(epoch)",
        ),
        Remedy(
            "Let a stream skip what belongs to the other ranks",
            after="for index, sample in enumerate(self.samples):\n"
            "    if index % world_size == rank:\n        yield sample",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare the first passes of each rank with those of the first one."""
    run = ask(CompareRanks())
    first, *others = run.ranks
    if not all(is_data_parallel(row) for row in run.ranks):
        return
    for one in trained_passes(first):
        same = [row for row in others if any(is_same(one, its) for its in passes_like(row, one))]
        if same:
            loader = next(row for row in first.loaders if row.index == one.loader)
            yield same_data(first, same, one, loader)
            return


def passes_like(row: RankRow, one: PassRow) -> list[PassRow]:
    """Return a rank's pass of the same number over the same loader."""
    key = one.loader, one.number
    return [its for its in trained_passes(row) if (its.loader, its.number) == key]


def is_same(one: PassRow, other: PassRow) -> bool:
    """Tell whether two passes gave the same different batches, as far as both were looked at."""
    pairs = list(zip(one.digests, other.digests, strict=False))
    are_equal = all(a and a == b for a, b in pairs)
    return are_equal and len({a for a, _ in pairs}) >= LEAST_DIFFERENT


def same_data(first: RankRow, same: list[RankRow], one: PassRow, loader: LoaderRow) -> Finding:
    """Return the finding, at the loader."""
    ranks = [first, *same]
    number = min(len(its.digests) for row in same for its in passes_like(row, one))
    number = min(number, len(one.digests))
    named = listed([str(row.rank) for row in ranks])
    sampler = f", by its {loader.sampler_class}" if loader.sampler_class else ""
    return SAME_DATA.finding(
        f"The first {number} batches that were compared are equal on ranks {named}. The loader "
        f"chooses from all {loader.num_samples or 'samples'} samples{sampler}, alike on each."
        if loader.num_samples
        else f"The first {number} batches that were compared are equal on ranks {named}.",
        mechanism="Each process seeds alike and reads the whole data set. The gradients that are "
        "averaged are equal, and so is their average.",
        location=first_location([loader.place, one.place]),
        evidence=[
            Evidence("batches compared", number),
            Evidence("batches that are equal", number, 0),
            Evidence("ranks that read them", len(ranks), 1),
        ],
        subject=str(loader.index),
        num_ranks=len(ranks),
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareRanks(),)


probe = Probe(
    name="rank-data",
    doc=__doc__,
    rules=(SAME_DATA,),
    examine=examine,
    experiments=experiments,
)
