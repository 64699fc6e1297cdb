"""Can the batch object do what the training loop asks of it?

## What it measures
For a batch of a class of its own: which of length, mapping protocol, iteration, indexing and
`.to` its class provides, and which of them an exception says was missing.

## Why it matters
Loops and trainers unpack, measure and move batches. An object that cannot do what they ask
stops the first step.

## Known limits
What is missing is read off the exception, so that of several things only the first asked for is
certain; the table of what the class provides names the rest.

## References
Python data model, "Emulating container types". transformers.Trainer._prepare_inputs calls len().
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from traindoctor.experiments import Experiment, OneStep
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import BatchRow, ExceptionRow, Trace
from traindoctor_probes._raised import DOWNSTREAM, batch_of, headline, lacking, stopped

NOT_A_MAPPING = Rule(
    code="TD004",
    name="batch-not-a-mapping",
    severity=Severity.CRITICAL,
    title="A batch of class {batch} has no {missing}",
    what="The batch object lacks what the loop, the trainer or the model asks of it.",
    why="The first step raises: nothing is trained.",
    known_limits="Only the first thing that was asked for in vain is certain.",
    remedies=(
        Remedy(
            "Return a dict from the collate function",
            recommended=True,
            pros="Every loop, trainer and model knows how to pass one on.",
            before="return Batch(samples)",
            after='return {"input_ids": input_ids, "labels": labels}',
        ),
        Remedy(
            "Give the class what is asked for",
            pros="Callers that use its attributes stay as they are.",
            cons="Each loop asks for something else.",
            after="def keys(self): return vars(self).keys()\n"
            "def __getitem__(self, key): return vars(self)[key]\n"
            "def __len__(self): return len(self.input_ids)",
        ),
    ),
    explains=(*DOWNSTREAM, "TD011"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the exception that stopped training, if the batch's class is to blame."""
    found = stopped(ask)
    if found is not None:
        trace, row = found
        batch = batch_of(row, trace)
        if batch is not None:
            yield from unfit(trace, row, batch)


def unfit(trace: Trace, row: ExceptionRow, batch: BatchRow) -> Iterator[Finding]:
    """Yield the finding where the exception names the batch's class."""
    missing = lacking(row, batch)
    if not missing:
        return
    has = ", ".join(batch.protocols) or "none of them"
    asking = row.place.text or row.raising_text
    yield NOT_A_MAPPING.finding(
        f"The loader yields a {batch.class_name}, and {row.phase.replace('_', ' ')} asked it for "
        f"its {missing} in vain. Of len, mapping, iteration, index and to it provides: {has}.",
        mechanism="Who measures, unpacks or moves a batch calls a method of its class. A dict, a "
        "tuple and a tensor have them all; a class of one's own has those that it was given.",
        location=first_location(
            [row.place, batch.class_place, trace.setup.loader_place, trace.setup.factory]
        ),
        also_at=[location(batch.class_place)] if row.place and batch.class_place else [],
        evidence=[
            Evidence("class of the batch", batch.class_name, "dict, tuple or tensor"),
            Evidence("what it provides", has, "len, mapping, iteration, index, to"),
            Evidence("what was asked for", missing),
            *([Evidence("by the line", asking)] if asking else []),
        ],
        remedies=remedies(batch, missing),
        quote=f"{row.type_name}: "
        + headline(row.message if len(row.message) < 300 else row.message[-200:]),
        batch=batch.class_name,
        missing=missing,
    )


def remedies(batch: BatchRow, missing: str) -> list[Remedy] | None:
    """Return the rule's own, unless a length is all that a mapping lacks: that is one line."""
    leaf = next((leaf.key.partition(".")[0] for leaf in batch.leaves if leaf.shape), "")
    if missing != "length" or not leaf or "mapping" not in batch.protocols:
        return None
    length = Remedy(
        f"Give {batch.class_name} a length: the number of its samples",
        recommended=True,
        pros="One method; callers that use its attributes stay as they are.",
        cons="A batch of no samples is false in an `if`.",
        before=batch.class_place.text,
        after=f"{batch.class_place.text}\n    def __len__(self):\n"
        f"        return len(self.{leaf})".lstrip("\n"),
    )
    as_dict = NOT_A_MAPPING.remedies[0]
    return [length, replace(as_dict, recommended=False, before=f"return {batch.class_name}(...)")]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="batch-protocol",
    doc=__doc__,
    rules=(NOT_A_MAPPING,),
    examine=examine,
    experiments=experiments,
)
