"""Does batch norm see more than one value a channel?

## What it measures
The shapes that batch-norm modules are given in train mode; the error that torch raises at one
value a channel; and the size of an epoch's last batch, computed from the loader.

## Why it matters
The mean of one value is the value itself: normalised, everything is zero. torch refuses, and with
a last batch of one it does so at the end of the first epoch.

## Known limits
The last batch is computed from the lengths of the loader's sampler and data set; custom batch
samplers and streams are not judged. A loop of the user's own may leave such a batch out: then the
finding is likely, not certain.

## References
torch.nn.BatchNorm1d documentation; Ioffe and Szegedy 2015.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traindoctor.experiments import Experiment, OneStep, ReadBatches, ShortRun
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
from traindoctor.probing.wording import location
from traindoctor.trace import ExceptionRow, ModuleRow, Trace

OF_ONE = Rule(
    code="TD703",
    name="batch-norm-of-one",
    severity=Severity.ERROR,
    title="{module} gets one value a channel in {when}",
    what="Batch norm in train mode is given a batch of one without spatial extent.",
    why="There is no variance to normalise by; torch raises, at the latest when the epoch's last "
    "batch comes.",
    known_limits="Loaders with batch samplers of their own and streams have no last batch that "
    "could be computed.",
    remedies=(
        Remedy(
            "Drop the incomplete last batch",
            recommended=True,
            pros="One argument; the sample comes back in another epoch when shuffled.",
            before="DataLoader(data, batch_size=32)",
            after="DataLoader(data, batch_size=32, drop_last=True)",
        ),
        Remedy(
            "Use a normalisation that does not look at the batch",
            pros="Works at any batch size.",
            before="nn.BatchNorm1d(dim)",
            after="nn.LayerNorm(dim)",
        ),
    ),
    explains=("TD003", "TD011", "TD014", "TD403", "TD404", "TD6"),
)
BIGGER = Remedy(
    "Use batches of more than one sample",
    recommended=True,
    before="DataLoader(data, batch_size=1)",
    after="DataLoader(data, batch_size=32, drop_last=True)",
)
REFUSAL = "Expected more than 1 value per channel"


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for torch's refusal; else for a last batch that would make it refuse."""
    one = ask(OneStep())
    run = ask(ShortRun())
    raised = [row for trace in (one, run) for row in trace.exceptions if REFUSAL in row.message]
    if raised:
        yield refused(raised[0], run)
        return
    loader = ask(ReadBatches())
    size, last = last_batch(loader.facts)
    for row in run.modules if last == 1 else ():
        if sees_one_value_a_sample(row, size):
            yield at_the_end(row, loader.facts, run)
            return


def last_batch(facts: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return the batch size and that of an epoch's last batch; None where nothing is known."""
    size = facts.get("batch_size")
    samples = facts.get("num_sampled", facts.get("num_samples"))
    if not size or not samples or facts.get("drop_last", True):
        return size or 0, None
    return size, samples % size or size


def sees_one_value_a_sample(row: ModuleRow, batch_size: int) -> bool:
    """Tell a batch norm in train mode whose input has as many values a channel as samples."""
    if "BatchNorm" not in row.class_name or not row.input_shapes or not row.num_calls_training:
        return False
    shape = row.input_shapes[0]
    values = 1
    for length in (shape[0], *shape[2:]):
        values *= length
    return values == shape[0] == batch_size


def refused(raised: ExceptionRow, run: Trace) -> Finding:
    """Return the finding for the error that torch raised."""
    shape = raised.module_input_shapes[0] if raised.module_input_shapes else ()
    name = raised.module or "F.batch_norm"
    return OF_ONE.finding(
        f"{name} was given {_shape(shape)} in train mode and torch refused: one value a channel "
        "has no variance.",
        mechanism="In train mode batch norm subtracts the batch's mean and divides by its "
        "deviation. Of one value the mean is the value and the deviation is zero.",
        location=location(raised.place, module=raised.module or None),
        evidence=[
            Evidence("values a channel", 1, "more than 1"),
            Evidence("samples in the batch", shape[0] if shape else None, "more than 1"),
            Evidence("batch at which it was raised", raised.batch),
        ],
        quote=f"{raised.type_name}: {raised.message}",
        remedies=(BIGGER, *OF_ONE.remedies[1:]) if not run.steps else None,
        subject=name,
        module=name,
        when=f"batch {raised.batch}",
    )


def at_the_end(row: ModuleRow, facts: Mapping[str, Any], run: Trace) -> Finding:
    """Return the finding for a last batch of one that is still to come."""
    samples, size = facts.get("num_sampled", facts.get("num_samples")), facts["batch_size"]
    by_loop = run.setup.has_train_loop
    return OF_ONE.finding(
        f"{samples} samples in batches of {size} leave a last batch of 1, and {row.path} is given "
        f"one value a channel for each sample, as in {_shape(row.input_shapes[0])}.",
        confidence=Confidence.LIKELY if by_loop else Confidence.CERTAIN,
        mechanism="The loader keeps the incomplete last batch. In train mode batch norm needs two "
        "values a channel; with one sample there is one, and torch raises at the end of the epoch.",
        location=location(row.call_place, module=row.path),
        also_at=[location(row.place)] if row.place else [],
        evidence=[
            Evidence("samples in the last batch", 1, "more than 1"),
            Evidence("samples", samples),
            Evidence("batch size", size),
        ],
        subject=row.path,
        module=row.path,
        when="the last batch of an epoch",
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")" if shape else "an input"


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return OneStep(), ShortRun(), ReadBatches()


probe = Probe(
    name="batch-norm-samples",
    doc=__doc__,
    rules=(OF_ONE,),
    examine=examine,
    experiments=experiments,
)
