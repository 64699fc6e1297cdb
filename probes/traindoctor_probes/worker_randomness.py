"""Do the loader's workers draw different random numbers?

## What it measures
Inside each worker of the loader: the state of every random generator that the data set, its
transforms or its collate function hold or name, as the worker starts, after its first sample and
after its second. Of python's, numpy's and torch's own generators the same, where a
`worker_init_fn` is given.

## Why it matters
A worker is a copy of the process. torch seeds the process's own generators anew in each copy; a
generator that a data set has made for itself is copied with its state, so that every worker draws
the same numbers: the same crops, the same noise, the same negatives, and again in every epoch for
which workers are started.

## Known limits
Only forked workers are looked at, the way they start on Linux before Python 3.14, and only in the
first passes; of others the source is read: a `worker_init_fn` that seeds with a number, and a data
set's class that draws from that generator. A generator that draws a varying number of times for a
sample is in another state in each worker after one, and is left alone; so is one that is seeded by
the sample's index. A data set of a class that cannot be changed in the worker (a list) is not seen
drawing.

## References
PyTorch, "Randomness in multi-process data loading". NumPy, "Parallel random number generation".
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ReadSource, ShortRun, WatchLoader
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
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import LoaderRow, Trace, WorkerRow
from traindoctor_probes._loaders import (
    by_worker,
    is_repeated,
    is_same_from_each,
    passes_over,
    place_of,
    trained_on,
)
from traindoctor_probes._worker_seeds import SameSeed, same_seed

REPEATS = Rule(
    code="TD508",
    name="worker-randomness-repeats",
    severity=Severity.ERROR,
    title="{num_same} of {num_workers} workers draw the same random numbers from `{generator}`",
    what="A random generator has the same state in each of the loader's workers.",
    why="Samples of different workers get the same augmentation, or are the same samples.",
    known_limits="Seen where workers are forked; of others, a `worker_init_fn` that seeds with a "
    "number is read. A generator that draws a varying number of times "
    "for a sample is left alone.",
    remedies=(
        Remedy(
            "Seed the generator in each worker, from the seed that torch gives it",
            recommended=True,
            pros="Another stream in each worker and in each epoch; repeatable by one seed.",
            after="def seed_worker(worker_id):\n    info = torch.utils.data.get_worker_info()\n"
            "    info.dataset.rng = np.random.default_rng(info.seed)\n\n"
            "loader = DataLoader(dataset, num_workers=4, worker_init_fn=seed_worker)",
        ),
        Remedy(
            "Draw from torch's own generator",
            pros="torch seeds it in each worker; nothing else is needed.",
            before="noise = self.rng.normal(size=x.shape)",
            after="noise = torch.randn(x.shape)",
        ),
        Remedy(
            "Seed by the sample's index and the epoch",
            pros="The same sample gets the same noise however many workers there are.",
            after="rng = np.random.default_rng((self.epoch, index))",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare the generators of each loader's workers."""
    if not any(row.num_workers > 1 for row in trained_on(ask(ShortRun()))):
        return
    seen = ask(WatchLoader())
    for loader in trained_on(seen):
        found = repeated(seen, loader)
        if loader.num_workers > 1 and found and is_to_blame(seen, loader):
            yield finding(seen, loader, found)
        is_seen = any(row.loader == loader.index for row in seen.workers)
        if loader.num_workers > 1 and loader.has_worker_init and not is_seen:
            written = same_seed(ask(ReadSource()).source, loader)
            if written is not None:
                yield as_written(loader, written)


def repeated(trace: Trace, loader: LoaderRow) -> list[WorkerRow]:
    """Return the workers' rows of the first generator that repeats; none where none does."""
    for row in passes_over(trace, loader):
        for generator, rows in by_worker(trace, loader, row.number).items():
            if generator and is_repeated(rows):
                states = [each.states for each in rows]
                return [each for each in rows if states.count(each.states) > 1]
    return []


def is_to_blame(trace: Trace, loader: LoaderRow) -> bool:
    """Tell it from a stream that each worker reads whole, which another rule names."""
    return not loader.is_iterable or not any(
        row.has_ended and is_same_from_each(row.digests, loader.num_workers)
        for row in passes_over(trace, loader)
    )


def finding(trace: Trace, loader: LoaderRow, rows: list[WorkerRow]) -> Finding:
    """Return the finding, at the line that makes the generator."""
    first = rows[0]
    again = {
        row.number
        for row in trace.workers
        if row.loader == loader.index
        and row.generator == first.generator
        and row.states[:1] == first.states[:1]
    }
    every = (
        " The workers of the next pass begin with that state once more." if len(again) > 1 else ""
    )
    why = (
        "`worker_init_fn` gives the process's own generator the same seed in every worker, where "
        "torch had given each another."
        if first.is_global
        else "Workers are forked: each has a copy of the generator, in the state that it had in "
        "the process that started them. torch seeds only its own generator, python's and numpy's."
    )
    return REPEATS.finding(
        f"`{first.generator}` ({first.kind}) is in one state in {len(rows)} of "
        f"{loader.num_workers} workers as they start, and is so again after their first sample "
        f"and after their second: they draw the same numbers.{every}",
        mechanism=why,
        location=first_location([first.place, loader.dataset_place, place_of(trace, loader)]),
        also_at=[first_location([loader.dataset_place])] if loader.dataset_place else [],
        evidence=[
            Evidence("workers", loader.num_workers),
            Evidence("different states as they start", 1, len(rows)),
            Evidence("different states after a sample each", 1, len(rows)),
            Evidence("passes that begin with that state", len(again), 1),
        ],
        subject=first.generator,
        num_same=len(rows),
        num_workers=loader.num_workers,
        generator=first.generator,
    )


def as_written(loader: LoaderRow, seed: SameSeed) -> Finding:
    """Return the finding for workers that could not be looked at, as their code has it."""
    return REPEATS.finding(
        f"`{seed.place.text}` runs in each of {loader.num_workers} workers, and "
        f"`{seed.drawn_at.text}` draws from that generator: they draw the same numbers.",
        confidence=Confidence.LIKELY,
        mechanism="`worker_init_fn` gives the process's own generator the same seed in every "
        "worker, where torch had given each another.",
        location=location(seed.place),
        also_at=[location(seed.drawn_at)],
        evidence=[
            Evidence("workers", loader.num_workers),
            Evidence("different seeds among them", 1, loader.num_workers),
        ],
        subject=seed.generator,
        num_same=loader.num_workers,
        num_workers=loader.num_workers,
        generator=seed.generator,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; the loader is watched where it has workers."""
    return (ShortRun(),)


probe = Probe(
    name="worker-randomness",
    doc=__doc__,
    rules=(REPEATS,),
    examine=examine,
    experiments=experiments,
)
