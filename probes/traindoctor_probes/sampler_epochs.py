"""Is a sampler that shuffles by the epoch told the epoch?

## What it measures
The epoch that a shuffling DistributedSampler stands at when each pass over its loader begins.

## Why it matters
It draws its order from its seed and the epoch alone, so that all ranks agree. Without `set_epoch`
each epoch has the order, and the shares, of the first: each rank sees its own part of the data for
ever, in one order.

## Known limits
Two passes that were trained on are needed, the first read to its end. Samplers of other classes are
not known. In one process alone it is not looked at.

## References
PyTorch, `torch.utils.data.distributed.DistributedSampler.set_epoch`.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import CompareRanks, Experiment
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import LoaderRow, PassRow
from traindoctor_probes._ranks import trained_passes

NOT_SET = Rule(
    code="TD905",
    name="sampler-epoch-not-set",
    severity=Severity.WARNING,
    title="{num_passes} epochs have the order of epoch {epoch}: `set_epoch` is not called",
    what="A DistributedSampler shuffles each epoch alike for lack of `set_epoch`.",
    why="Each rank sees the same share of the data in the same order in each epoch.",
    known_limits="Only DistributedSampler with shuffle=True, in several processes, from the second "
    "epoch on.",
    remedies=(
        Remedy(
            "Tell the sampler the epoch",
            recommended=True,
            before="for epoch in range(num_epochs):\n    for batch in loader:\n        step(batch)",
            after="for epoch in range(num_epochs):\n    sampler.set_epoch(epoch)\n"
            "    for batch in loader:\n        step(batch)",
        ),
    ),
    explains=("TD504",),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare the epochs that samplers stand at when passes begin."""
    first = ask(CompareRanks()).ranks[0]
    for loader in first.loaders:
        passes = [one for one in trained_passes(first) if one.loader == loader.index]
        epochs = {one.sampler_epoch for one in passes}
        is_whole = len(passes) > 1 and passes[0].has_ended
        if loader.needs_epoch and is_whole and len(epochs) == 1:
            yield not_set(loader, passes)


def not_set(loader: LoaderRow, passes: list[PassRow]) -> Finding:
    """Return the finding, at the loop that goes through the loader."""
    epoch = passes[0].sampler_epoch
    orders = len({one.digests[:1] for one in passes if one.digests})
    return NOT_SET.finding(
        f"The sampler stood at epoch {epoch} when each of {counted(len(passes), 'pass')} began.",
        mechanism="DistributedSampler seeds its shuffling with its seed and the epoch that it was "
        "told last.",
        location=first_location([passes[1].place, loader.place]),
        evidence=[
            Evidence("epochs that the sampler was told", 1, len(passes)),
            Evidence("different first batches", orders, len(passes)),
        ],
        subject=str(loader.index),
        num_passes=len(passes),
        epoch=epoch,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareRanks(),)


probe = Probe(
    name="sampler-epochs",
    doc=__doc__,
    rules=(NOT_SET,),
    examine=examine,
    experiments=experiments,
)
