"""Does the training wait for its data?

## What it measures
The time from asking the loader for a batch to having it, past the first ones, beside the time of a
whole step. Where a loader can be tried: how long a batch takes with as many workers as there are
processors, and how long it takes to read the same samples once more.

## Why it matters
While a step waits, the device stands still. Workers prepare the next batches in the meantime; a
loader without any prepares each batch after the step before it.

## Known limits
Silent below 5 ms of waiting a batch, and below 10 s in the whole run where its length is known.
Under `check` a step is timed on one batch, without any instrument, and a first epoch is what is
seen: data that is kept after it has been read is left alone. All is measured on the machine at
hand, with whatever else it does.

## References
PyTorch, torch.utils.data, "Single- and multi-process data loading".
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import (
    Experiment,
    LoaderSpeed,
    MeasureStep,
    ShortRun,
    WatchLoader,
)
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, duration, first_location
from traindoctor.trace import LoaderRow, Trace
from traindoctor_probes._loaders import batches_of, had, passes_over, place_of, trained_on

KEPT = 0.2  # of the first reading's time: what is read again so fast is kept in memory
FASTER = 0.8  # of the time as it is: with other workers it pays from here on

WAITING = Rule(
    code="TD510",
    name="waiting-for-data",
    severity=Severity.WARNING,
    title="{share:.0%} of a step's time is spent waiting for the next batch",
    what="Most of the time the training waits for the loader.",
    why="The run takes so many times longer than its arithmetic.",
    known_limits="Silent below 5 ms a batch, or 10 s in the whole run. Data that is kept in memory "
    "after its first reading is left alone.",
    remedies=(
        Remedy(
            "Let workers prepare the batches",
            recommended=True,
            pros="The next batches are made while the device computes.",
            cons="Each worker is a process with a copy of the data set.",
            before="loader = DataLoader(dataset, batch_size=32, shuffle=True)",
            after="loader = DataLoader(\n    dataset, batch_size=32, shuffle=True, num_workers=4, "
            "persistent_workers=True\n)",
        ),
        Remedy(
            "Do once what is the same in every epoch",
            pros="Decoding, tokenising and resampling need not be done again and again.",
            after="dataset = [prepare(item) for item in items]",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Options:
    """From when on waiting is worth a word."""

    share: float = 0.5  # of a step's time
    batch_seconds: float = 5e-3
    run_seconds: float = 10.0  # waited in the whole run, where its length is known
    watched_seconds: float = 1.0  # waited so far, in a run that is watched
    num_batches: int = 20  # of a watched pass


@dataclass(frozen=True, slots=True)
class Waited:
    """Seconds of one batch: waited for it, and of the whole step with it."""

    batch_seconds: float
    step_seconds: float
    num_batches: int
    is_watched: bool = False

    @property
    def share(self) -> float:
        """Of the step's time."""
        return self.batch_seconds / self.step_seconds if self.step_seconds else 0.0


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Compare waiting with computing."""
    run = ask(ShortRun())
    for loader in trained_on(run):
        waited = watched(run, loader, options) if run.pulses else timed(ask, run, loader, options)
        if waited is None or waited.share <= options.share:
            continue
        if waited.batch_seconds < options.batch_seconds:
            continue
        speed = had(ask, LoaderSpeed()) if not waited.is_watched else None
        if speed is not None and is_kept(speed, waited):
            continue
        yield finding(run, loader, waited, speed)


def watched(run: Trace, loader: LoaderRow, options: Options) -> Waited | None:
    """Return the waiting of a run that was watched as it went, each pass's first batch left out."""
    passes = [one for one in passes_over(run, loader) if one.num_batches >= options.num_batches]
    number = sum(one.num_batches - 1 for one in passes)
    waiting = sum(one.fetch_seconds - one.first_seconds for one in passes)
    whole = sum(one.seconds - one.first_seconds for one in passes)
    if waiting < options.watched_seconds:
        return None
    return Waited(waiting / number, whole / number, number, is_watched=True)


def timed(ask: Ask, run: Trace, loader: LoaderRow, options: Options) -> Waited | None:
    """Return the waiting as experiments tell it: the loader's time for a batch beside a step's."""
    num_epochs = run.setup.epochs or 1
    rows = batches_of(run, loader)
    if loader.num_workers:
        rows = batches_of(ask(WatchLoader()), loader, 0)[2 * loader.num_workers - 1 :]
    seconds = [row.fetch_seconds for row in rows[1:]]
    if len(seconds) < 3:
        return None
    # Workers give several batches at once and then none; without them one may be disturbed.
    fetch = sum(seconds) / len(seconds) if loader.num_workers else statistics.median(seconds)
    total = fetch * num_epochs * (loader.num_batches or 0)
    is_short = loader.num_batches is not None and total < options.run_seconds
    if fetch < options.batch_seconds or is_short:
        return None
    step = ask(MeasureStep()).facts["step_seconds"]
    if step is None:
        return None
    if loader.num_workers:  # they work while a step is computed
        return Waited(max(0.0, fetch - step), max(fetch, step), len(seconds))
    return Waited(fetch, fetch + step, len(seconds))


def is_kept(speed: Trace, waited: Waited) -> bool:
    """Tell whether the same samples come at once when they are read again."""
    again = speed.facts["again_seconds"]
    return again is not None and again < KEPT * waited.batch_seconds


def finding(run: Trace, loader: LoaderRow, waited: Waited, speed: Trace | None) -> Finding:
    """Return the finding, with what other workers would change if that was measured."""
    computing = waited.step_seconds - waited.batch_seconds
    told, evidence = tried(loader, waited, speed)
    have = counted(loader.num_workers, "worker") if loader.num_workers else "no workers"
    return WAITING.finding(
        f"A step takes {duration(waited.step_seconds)}, and {duration(waited.batch_seconds)} of it "
        f"is waiting for {loader.dataset_class or 'the loader'} to give a batch "
        f"({counted(waited.num_batches, 'batch')}). The loader has {have}.{told}",
        mechanism="Each batch is prepared when it is asked for, by the process that trains."
        if not loader.num_workers
        else "The workers together prepare batches more slowly than the steps use them.",
        location=first_location([place_of(run, loader)]),
        also_at=[first_location([loader.dataset_place])] if loader.dataset_place else [],
        evidence=[
            Evidence("waiting for a batch", waited.batch_seconds, computing, "s"),
            Evidence("rest of the step", computing, None, "s"),
            Evidence("workers", loader.num_workers),
            *evidence,
        ],
        share=waited.share,
    )


def tried(loader: LoaderRow, waited: Waited, speed: Trace | None) -> tuple[str, list[Evidence]]:
    """Say what a batch costs with other workers."""
    if speed is None or not speed.facts["batch_seconds"]:
        if waited.is_watched:
            return " `traindoctor check` tells what other workers would change.", []
        return "", []
    other, now = speed.facts["other_seconds"], speed.facts["batch_seconds"]
    number = speed.facts["other_workers"]
    if number is None:
        return " There are no more processors than workers: only less work a sample helps.", []
    if not other:
        return "", []
    computing = waited.step_seconds - waited.batch_seconds
    left = max(0.0, other - computing)
    share = left / max(other, computing)
    told = (
        f" With {number} workers a batch comes every {duration(other)} instead of "
        f"{duration(now)}: {share:.0%} of a step would be waiting."
        if other < FASTER * now
        else f" With {number} workers a batch takes {duration(other)} and not {duration(now)}: "
        "workers alone do not help here."
    )
    return told, [
        Evidence(f"seconds of a batch with {loader.num_workers} workers", now, None, "s"),
        Evidence(f"seconds of a batch with {number} workers", other, None, "s"),
        Evidence("share of waiting then", share, waited.share),
    ]


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for first; a slow loader is timed beside a step."""
    return (ShortRun(),)


probe = Probe(
    name="data-waiting",
    doc=__doc__,
    rules=(WAITING,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
