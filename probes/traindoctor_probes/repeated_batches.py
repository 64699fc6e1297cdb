"""Does each step see data of its own?

## What it measures
The digests of the batches that the loader gave, within a pass and from one pass to the next, and
where passes are begun and left. Of a watched run, how many steps one batch of each pass was used
for. And the digests of what the model was given: if they are the same
for different batches, the training is run again on other batches, to see whether any loss differs.

## Why it matters
`next(iter(loader))` begins a new pass: without shuffling it is the first batch, each time. A loop
that uses a variable of the loop before does the same. The loss falls as it should, for one batch.

## Known limits
One batch that is fetched once and trained on again and again is taken for what it looks like, a
deliberate test; so is a list of one batch, or a subset of one sample. Several steps on one batch of
each pass are taken to be meant, unless they are exactly as many as the loader has batches, in a run
that came to its end and stepped one optimizer at a time. What no loader gave, as rows that are
picked by hand, is not compared. Batches of one sample, which may be the whole data, and equal
samples in a data set of torch's are warned of. Samples that are equal but for their augmentation
are not seen. A loop that ends with `break` after each first batch is named by TD809 where its
statement is found.

## References
Karpathy, "A Recipe for Training Neural Networks": overfit one batch, on purpose.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from operator import itemgetter

from traindoctor.experiments import Experiment, OtherBatches, ShortRun
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
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import LoaderRow, PassRow, Place, Trace
from traindoctor_probes._kept_batches import kept_for_an_epoch
from traindoctor_probes._loaders import batches_of, passes_over, place_of, trained_on

LEAST = 4  # batches or passes that are equal
LEAST_LOSSES = 3  # that other batches leave as they are

AGAIN = Rule(
    code="TD503",
    name="same-batch-again",
    severity=Severity.ERROR,
    title="{num_steps} steps see one and the same batch: {what}",
    what="Every step is given the same data.",
    why="The model learns one batch by heart. The loss falls; the rest of the data is not used.",
    known_limits="A batch fetched once and kept is taken for a deliberate test. Equal samples with "
    "different augmentation are not seen.",
    remedies=(
        Remedy(
            "Iterate over the loader",
            recommended=True,
            before="for step in range(num_steps):\n    batch = next(iter(loader))",
            after="for batch in loader:\n    train_step(batch)",
        ),
        Remedy(
            "Make the iterator once, and anew only when it is over",
            pros="Right where steps are counted, and not epochs.",
            after="def forever(loader):\n    while True:\n        yield from loader\n\n"
            "batches = forever(loader)\nfor step in range(num_steps):\n    batch = next(batches)",
        ),
        Remedy(
            "Use the index in the data set",
            before="def __getitem__(self, index):\n    return self.items[0]",
            after="def __getitem__(self, index):\n    return self.items[index]",
        ),
    ),
    explains=("TD116", "TD504", "TD507", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare batches within passes, then the passes' first ones, then what the model is given."""
    run = ask(ShortRun())
    for loader in trained_on(run):
        passes = passes_over(run, loader)
        begun = begun_again(loader, passes)
        kept = kept_for_an_epoch(run, loader, passes)
        same = next((one for one in passes if is_one_batch(run, loader, one)), None)
        if begun:
            yield begins_again(run, loader, begun)
        elif kept:
            yield keeps_one(loader, kept)
        elif same is not None:
            yield gives_one(run, loader, same)
        else:
            continue
        return
    if gets_one(run):
        yield from ignores(run, ask(OtherBatches()))


def begun_again(loader: LoaderRow, passes: list[PassRow]) -> list[PassRow]:
    """Return the passes that the user's code began and left after one batch, always the same."""
    found = [one for one in passes if one.is_by_user and one.num_batches == 1 and not one.has_ended]
    first = {one.digests[:1] for one in found}
    are_all = len(found) == len(passes) and loader.num_fetched <= loader.num_passes
    is_one = len(first) == 1 and first != {()} and first != {("",)}
    if len(found) < LEAST or loader.num_batches == 1 or not are_all or not is_one:
        return []
    return found


def is_one_batch(run: Trace, loader: LoaderRow, one: PassRow) -> bool:
    """Tell whether all batches of a pass over a DataLoader are equal, as far as they were read."""
    digests = {row.digest for row in batches_of(run, loader, one.number)}
    return (
        loader.is_dataloader
        and not loader.is_one_index
        and one.num_batches >= LEAST
        and one.num_repeats == one.num_compared >= LEAST - 1
        and len(digests) == 1
        and "" not in digests
    )


def begins_again(run: Trace, loader: LoaderRow, begun: list[PassRow]) -> Finding:
    """Return the finding for passes of one batch each."""
    place, number = begun[0].place, loader.num_passes - loader.num_evaluations
    there = f" The loader has {loader.num_batches}." if loader.num_batches else ""
    return AGAIN.finding(
        f"`{place.text}` began {counted(number, 'pass')} over the loader and took one batch of "
        f"each; all of them are equal.{there}",
        mechanism="`iter(loader)` begins a new pass, and `next` takes its first batch. "
        + (
            f"Its order comes from {loader.sampler_class}, so that the first batch is the same."
            if loader.sampler_class
            else "Its order is the same each time, and so is the first batch."
        ),
        location=location(place),
        evidence=[
            Evidence("passes begun", number, "one an epoch"),
            Evidence("batches taken", loader.num_fetched),
            Evidence("different ones among them", 1, loader.num_batches),
            *workers(loader),
        ],
        num_steps=loader.num_fetched,
        what="the iterator is made anew in each",
    )


def keeps_one(loader: LoaderRow, kept: list[PassRow]) -> Finding:
    """Return the finding for epochs that are spent on one batch each."""
    place, number = kept[0].place, loader.num_batches or 0
    return AGAIN.finding(
        f"`{place.text}` began {counted(loader.num_passes, 'pass')} over the loader and took one "
        f"batch of each. {number} steps were taken on each, as many as the loader has batches.",
        confidence=Confidence.LIKELY,
        mechanism="`next(iter(loader))` is run once an epoch, and its batch is used for all of the "
        "epoch's steps.",
        location=location(place),
        evidence=[
            Evidence("batches taken", loader.num_fetched, number * loader.num_passes),
            Evidence("steps on each", number, 1),
        ],
        num_steps=number,
        what="one is taken an epoch, and kept for all of it",
    )


def workers(loader: LoaderRow) -> list[Evidence]:
    """Return what the loader's workers add to that."""
    if not loader.num_workers:
        return []
    return [Evidence("processes started", loader.num_workers * loader.num_passes)]


def gives_one(run: Trace, loader: LoaderRow, one: PassRow) -> Finding:
    """Return the finding for a loader whose batches are all equal."""
    rows = batches_of(run, loader, one.number)
    samples = {
        digest for row in rows[:1] for leaf in row.leaves[:1] for digest in leaf.sample_digests
    }
    is_one_sample = len(samples) == 1 and (rows[0].size or 0) > 1
    # One large sample may be all there is, and equal tensors somebody's dry run.
    is_doubtful = (loader.batch_size or 1) == 1 or (is_one_sample and not loader.dataset_is_users)
    dataset = loader.dataset_class or "the data set"
    if is_one_sample and loader.dataset_is_users:
        what, where = f"{dataset} gives one sample for every index", loader.dataset_place
    elif is_one_sample:
        what, where = "all samples of the data set are equal", Place()
    else:
        what, where = "the loader gives it again and again", Place()
    return AGAIN.finding(
        f"{counted(one.num_batches, 'batch')} were read in one pass over {dataset}, and all are "
        f"equal to the last bit"
        + (f"; so are the {rows[0].size} samples in them." if is_one_sample else "."),
        severity=Severity.WARNING if is_doubtful else None,
        confidence=Confidence.LIKELY if is_doubtful else None,
        mechanism="What the data set gives does not depend on the index that it is asked for."
        if is_one_sample
        else "The sampler gives the same indices, or the collate function returns a batch that it "
        "has kept.",
        location=first_location([where, place_of(run, loader)]),
        evidence=[
            Evidence("batches read", one.num_batches),
            Evidence("different ones among them", 1, one.num_batches),
            Evidence("samples of the data set", loader.num_samples),
            *([Evidence("different samples in a batch", 1, rows[0].size)] if is_one_sample else []),
        ],
        num_steps=one.num_batches,
        what=what,
    )


def gets_one(run: Trace) -> bool:
    """Tell whether the model was given the same for several batches in a row that differ."""
    digests = {row.index: row.digest for row in run.batches if row.digest}
    for given, noted in itertools.groupby(run.facts.get("model_inputs", ()), key=itemgetter(1)):
        different = {digests[index] for index, _ in noted if index in digests}
        if given and len(different) >= LEAST:
            return True
    return False


def ignores(run: Trace, tried: Trace) -> Iterator[Finding]:
    """Yield the finding for training whose losses stay the same when its batches do not."""
    these, others = (
        [row.value for row in tried.evaluations if row.label == label]
        for label in ("these", "others")
    )
    if len(these) < LEAST_LOSSES or these != others or len(set(these)) == 1:
        return
    inputs = {digest for _, digest in run.facts.get("model_inputs", ())}
    called = [row.call_place for row in run.modules if not row.path]
    longest = max(run.passes, key=lambda one: one.num_batches)
    yield AGAIN.finding(
        f"{counted(len(run.batches), 'batch')} were fetched, and the model was given "
        f"{counted(len(inputs), 'input')}. Run again on other batches after the first one, the "
        f"training has the same {counted(len(these), 'loss')}, to the last bit.",
        mechanism="The loop fetches a batch and computes with another one, which it has kept under "
        "a name from before.",
        location=first_location([longest.place, *called, run.setup.factory]),
        also_at=[location(place) for place in called if place],
        evidence=[
            Evidence("different batches fetched", len({row.digest for row in run.batches})),
            Evidence("different inputs of the model", len(inputs), len(run.batches)),
            Evidence("losses that other batches change", 0, len(these) - 1),
        ],
        num_steps=len(run.batches),
        what="the batches that are fetched are not used",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; other batches follow where the model is given one."""
    return (ShortRun(),)


probe = Probe(
    name="repeated-batches",
    doc=__doc__,
    rules=(AGAIN,),
    examine=examine,
    experiments=experiments,
)
