"""Do the workers share a stream, or does each of them read all of it?

## What it measures
What each round of a stream's workers gave: whether their batches, or a column of them, are the
same round after round, or each sample came once from each worker by the end of a pass. And inside
the workers, whether anything there asked which worker it is, or set the data set apart.

## Why it matters
Each worker has a copy of an IterableDataset. One that does not divide its items among the copies
gives every item as many times as there are workers: an epoch is so many times as long, a batch of
one worker comes again from the next, and the loss looks better than it is.

## Known limits
Only forked workers are looked at. Silent where the code in a worker asks for its number, or
`worker_init_fn` changes an attribute of the data set: what comes twice then may stand twice in the
data. A stream that each worker shuffles in its own way is judged only when a whole pass was seen.

## References
PyTorch, torch.utils.data.IterableDataset, "splitting workload across all workers".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from traindoctor.errors import CannotJudge
from traindoctor.experiments import Experiment, ShortRun, WatchLoader
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import BatchRow, LoaderRow, PassRow, Trace
from traindoctor_probes._loaders import (
    batches_of,
    by_worker,
    is_repeated,
    is_same_from_each,
    passes_over,
    place_of,
    trained_on,
)

LEAST_SAMPLES = 16  # different ones, each from every worker
LEAST_ROUNDS = 4  # in which a column is the same from each worker, though the rest is not

DUPLICATED = Rule(
    code="TD509",
    name="duplicated-by-workers",
    severity=Severity.ERROR,
    title="Each item comes {num_workers} times, once from each worker",
    what="An iterable data set gives all of its items in every worker.",
    why="The same samples are trained on again and again, and an epoch is longer than the data.",
    known_limits="Silent where workers are not forked, or where the code asks which worker it is.",
    remedies=(
        Remedy(
            "Give each worker its share of the items",
            recommended=True,
            pros="Every item comes once an epoch, whatever the number of workers.",
            before="def __iter__(self):\n    yield from self.items",
            after="def __iter__(self):\n    info = torch.utils.data.get_worker_info()\n"
            "    first, step = (info.id, info.num_workers) if info else (0, 1)\n"
            "    yield from itertools.islice(self.items, first, None, step)",
        ),
        Remedy(
            "Use one worker",
            pros="One copy reads every item once.",
            cons="No more than one process prepares data.",
            after="loader = DataLoader(stream, batch_size=32, num_workers=1)",
        ),
        Remedy(
            "Use a data set with indices",
            pros="The sampler divides the indices, and can shuffle them.",
            cons="The items must be known by their number.",
        ),
    ),
    explains=("TD116",),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare what each stream's workers give."""
    if not any(is_shared(row) for row in trained_on(ask(ShortRun()))):
        return
    seen = ask(WatchLoader())
    for loader in filter(is_shared, trained_on(seen)):
        for one in passes_over(seen, loader):
            told = repeats(seen, loader, one)
            if not told or is_random(seen, loader, one):
                continue
            workers = by_worker(seen, loader, one.number).get("", [])
            if not workers:
                raise CannotJudge("the loader's workers are not forked, so that none was looked at")
            if not any(row.asks_who_it_is or row.is_set_apart for row in workers):
                yield finding(seen, loader, one, told)
                break


def is_shared(loader: LoaderRow) -> bool:
    """Tell whether several workers read one stream."""
    return loader.is_iterable and loader.num_workers > 1


def repeats(trace: Trace, loader: LoaderRow, one: PassRow) -> str:
    """Say how the items come again from each worker; nothing where they do not."""
    rows, workers = batches_of(trace, loader, one.number), loader.num_workers
    is_complete = [row.index for row in rows] == list(
        range(rows[0].index, rows[0].index + len(rows)) if rows else ()
    )
    if is_same_from_each(one.digests, workers):
        return f"each batch was followed by {workers - 1} equal to it"
    if is_complete:
        for key in dict.fromkeys(leaf.key for row in rows for leaf in row.leaves):
            column = [leaf.digest for row in rows for leaf in row.leaves if leaf.key == key]
            if len(column) == len(rows) and is_same_from_each(column, workers, LEAST_ROUNDS):
                return f"'{key}' of each batch came again in the {workers - 1} that followed"
    if is_complete and one.has_ended and len(rows) == one.num_batches:
        counts = Counter(sample for row in rows for sample in samples(row))
        if len(counts) >= LEAST_SAMPLES and set(counts.values()) == {workers}:
            return f"each of {len(counts)} different samples came {workers} times in the pass"
    return ""


def samples(batch: BatchRow) -> list[tuple[str, ...]]:
    """Return the digests of each sample's tensors."""
    columns = [leaf.sample_digests for leaf in batch.leaves if leaf.sample_digests]
    return list(zip(*columns, strict=False))


def is_random(trace: Trace, loader: LoaderRow, one: PassRow) -> bool:
    """Tell whether the items are drawn without end from generators that are in one state."""
    workers = by_worker(trace, loader, one.number)
    drawn = any(name and is_repeated(rows) for name, rows in workers.items())
    return drawn and not any(row.has_ended for row in passes_over(trace, loader))


def finding(trace: Trace, loader: LoaderRow, one: PassRow, told: str) -> Finding:
    """Return the finding, where the data set gives its items."""
    num = loader.num_workers
    whole = one.num_samples if one.has_ended else None
    ends = (
        f" The pass ended after {whole:,} samples; the stream has {whole // num:,}."
        if whole and whole % num == 0
        else ""
    )
    return DUPLICATED.finding(
        f"{counted(one.num_batches, 'batch')} of {loader.dataset_class} were read with {num} "
        f"workers, and {told}.{ends} Nothing in a worker asks which one it is.",
        mechanism="Each worker iterates its own copy of the data set from the first item on, and "
        "the loader takes a batch from each in turn.",
        location=first_location([loader.dataset_place, place_of(trace, loader)]),
        also_at=[first_location([place_of(trace, loader)])],
        evidence=[
            Evidence("workers", num),
            Evidence("times each item came", num, 1),
            Evidence("batches read", one.num_batches),
            *([Evidence("samples of a pass", whole, whole // num)] if whole else []),
            Evidence("workers that asked for their number", 0, num),
        ],
        num_workers=num,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; the loader is watched where workers read a stream."""
    return (ShortRun(),)


probe = Probe(
    name="worker-sharding",
    doc=__doc__,
    rules=(DUPLICATED,),
    examine=examine,
    experiments=experiments,
)
