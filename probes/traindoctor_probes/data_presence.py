"""Does the loader yield anything?

## What it measures
The number of batches that the loader yields, beside the samples, the batch size and `drop_last`
that it declares.

## Why it matters
A loop over nothing ends at once and without an error: the model is saved untrained.

## Known limits
Only the first epoch is asked for. A stream that blocks is not empty.

## References
PyTorch, torch.utils.data.DataLoader, `drop_last`.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ReadBatches
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import Trace

EMPTY = Rule(
    code="TD013",
    name="empty-data",
    severity=Severity.CRITICAL,
    title="The {loader} yields no batch",
    what="Iterating over the training loader gives nothing.",
    why="The training loop has nothing to do: no loss, no step, and no error either.",
    known_limits="A loader that is empty in later epochs only is not seen.",
    remedies=(
        Remedy(
            "Keep the last, smaller batch",
            recommended=True,
            before="DataLoader(dataset, batch_size=64, drop_last=True)",
            after="DataLoader(dataset, batch_size=64, drop_last=False)",
        ),
        Remedy("Take a batch size no larger than the data set"),
        Remedy("Check the path, the split and the filter that the samples come from"),
    ),
    explains=("TD1", "TD2", "TD4", "TD5", "TD6"),
)
_ONCE = ("generator", "iterator", "map", "filter", "zip", "enumerate", "islice", "chain")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge a loader that ended before its first batch."""
    read = ask(ReadBatches())
    if not read.batches and not read.exceptions:
        yield empty(read)


def empty(read: Trace) -> Finding:
    """Return the finding, with the numbers that explain it."""
    facts, setup = read.facts, read.setup
    samples = facts.get("num_sampled", facts.get("num_samples"))
    size, loader = facts.get("batch_size"), facts.get("loader_class", "loader")
    short = bool(facts.get("drop_last") and samples and size and samples < size)
    why = _why(loader, samples, size, short)
    return EMPTY.finding(
        f"The {loader} ended before its first batch. {why}",
        mechanism="`drop_last=True` throws away every batch that is not full, and here the only "
        "one is not."
        if short
        else "A `for` over an empty loader runs no iteration and raises nothing.",
        location=first_location([setup.loader_place, setup.factory]),
        evidence=[
            Evidence("batches", 0, "at least 1"),
            Evidence("samples", samples),
            Evidence("batch size", size),
            Evidence("drop_last", facts.get("drop_last")),
        ],
        remedies=None if short else EMPTY.remedies[2:],
        loader=loader,
    )


def _why(loader: str, samples: int | None, size: int | None, short: bool) -> str:
    if short:
        held = counted(samples or 0, "sample")
        return f"{held} do not fill one batch of {size}, and drop_last is on."
    if samples == 0:
        return "Its data set has no sample."
    if any(name in loader for name in _ONCE):
        return "It can be iterated once only: something used it up before."
    if samples is not None:
        return f"Its data set says that it has {counted(samples, 'sample')}."
    return "It does not say how many samples it has."


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ReadBatches(),)


probe = Probe(
    name="data-presence",
    doc=__doc__,
    rules=(EMPTY,),
    examine=examine,
    experiments=experiments,
)
