"""The exception that stops training, for the probes that know what to make of one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import OneStep, ShortRun, TraceBatch
from traindoctor.probing import Ask, Location
from traindoctor.probing.wording import location
from traindoctor.trace import BatchRow, ExceptionRow, LeafRow, Place, Trace

ROWS = re.compile(r"Expected input batch_size \((\d+)\) to match target batch_size \((\d+)\)")
_TYPES = re.compile(r"Input type \((.+?)\) and (?:bias|weight) type \((.+?)\) should be the same")
_DEVICES = re.compile(
    r"same device|on the expected device|out of meta tensor|on meta tensors|"
    r"is on CPU, but expected|is on GPU, but expected|indices should be either on|"
    r"Placeholder storage has not been allocated"
)
# What a message says a batch of a class of its own lacks; `{}` stands for the class.
_ASKED = (
    (r"object of type '{}' has no len\(\)", "length"),
    (r"argument after \*\* must be a mapping, not {}\b", "mapping protocol"),
    (r"argument after \* must be an iterable, not {}\b", "iteration"),
    (r"'{}' object is not a mapping", "mapping protocol"),
    (r"'{}' object is not iterable", "iteration"),
    (r"cannot unpack non-iterable {} object", "iteration"),
    (r"'{}' object is not subscriptable", "indexing"),
    (r"'{}' object does not support item assignment", "item assignment"),
    (r"'{}' object has no attribute '(\w+)'", "attribute {}"),
    (r"must be Tensor, not {}\b", "tensor in it that could be passed on alone"),
    (r"combination of arguments - got \({}\b", "tensor in it that could be passed on alone"),
    (r"argument of type '{}' is not", "membership test"),
)
_MISSING_ARGUMENT = re.compile(r"forward\(\) missing \d+ required positional argument")
# What else becomes true where no batch comes as far as an optimizer step.
DOWNSTREAM = ("TD101", "TD102", "TD103", "TD403", "TD404", "TD405", "TD6")


def stopped(ask: Ask) -> tuple[Trace, ExceptionRow] | None:
    """Return the trace and the row of the exception that ended training, if one did.

    A batch later than the first that raises is looked at a second time, as closely as the
    first was. What the loader raises is not among them.
    """
    step = ask(OneStep())
    found = _first(step)
    if found is not None or step.exceptions:
        return (step, found) if found else None
    run = ask(ShortRun())
    found = _first(run)
    if found is None:
        return None
    if not run.setup.has_train_loop:
        again = ask(OneStep(batch=found.batch))
        closer = _first(again)
        if closer is not None and closer.type_name == found.type_name:
            return again, closer
    return run, found


def failures(ask: Ask) -> list[tuple[Trace, ExceptionRow]]:
    """Return what ended training, and what would end it if the batch were a plain dict."""
    first, mapped = stopped(ask), as_dict(ask)
    second = _first(mapped) if mapped else None
    found = [first] if first else []
    return [*found, (mapped, second)] if mapped and second else found


def as_dict(ask: Ask) -> Trace | None:
    """Return a step that got its batch as a plain dict, if only the batch's class forbade one.

    It must be a class that can be unpacked as one. Not where the batch goes to a loop of the
    user's, which may count on that class.
    """
    first = stopped(ask)
    if first is None or first[0].setup.has_train_loop:
        return None
    batch = batch_of(first[1], first[0])
    if batch is None or "mapping" not in batch.protocols or not lacking(first[1], batch):
        return None
    return ask(OneStep(batch=first[1].batch, as_mapping=True))


def lacking(row: ExceptionRow, batch: BatchRow) -> str:
    """Return what a batch of a class of its own was asked for in vain, or nothing."""
    if batch.kind not in ("other", "dataclass"):
        return ""
    for pattern, name in _ASKED:
        name_there = rf"(?:[\w.]+\.)?{re.escape(batch.class_name)}"
        match = re.search(pattern.replace("{}", name_there), row.message)
        if match:
            return name.format(*match.groups())
    if batch.kind == "other" and not row.module and _MISSING_ARGUMENT.search(row.message):
        return "mapping protocol"
    return ""


def made(ask: Ask, what: str, key: str) -> Place:
    """Return where the batch's tensor of a key is `made`, or its `largest` value is.

    An empty place where that cannot be had: a watched run's batches are gone.
    """
    try:
        found = ask(TraceBatch()).facts.get(what, {}).get(key)
    except ExperimentFailed:
        return Place()
    return found or Place()


def made_first(ask: Ask, keys: Iterable[str]) -> Place:
    """Return where the first of some tensors of the batch is made that the user's code makes."""
    return next((place for key in keys if (place := made(ask, "made", key))), Place())


def _first(trace: Trace) -> ExceptionRow | None:
    return next((row for row in trace.exceptions if row.phase != "fetch"), None)


def where(row: ExceptionRow, trace: Trace, origin: Place = Place()) -> Location:
    """Return the user's line that raised, else where the user built what raised.

    `origin` is where what was refused is made: better than where a library's model is built.
    """
    module = next((m for m in trace.modules if m.path == row.module), None)
    setup = trace.setup
    if row.phase == "transfer":
        return location(row.place or setup.loader_place or setup.factory)
    places = (
        row.place,
        Place() if row.module else setup.forward_place,
        module.place if module else Place(),
        origin,
        setup.model_place,
        setup.factory,
    )
    return location(next((p for p in places if p), Place()), module=row.module)


def is_device(message: str) -> bool:
    """Tell whether an exception's message complains of devices."""
    types = _TYPES.search(message)
    if types:
        on_gpu = ["cuda" in text.lower() for text in types.groups()]
        return on_gpu[0] != on_gpu[1]
    return bool(_DEVICES.search(message))


def batch_of(row: ExceptionRow, trace: Trace) -> BatchRow | None:
    """Return the batch that was in work when it raised."""
    return next((batch for batch in trace.batches if batch.index == row.batch), None)


def keys_of(batch: BatchRow | None) -> list[str]:
    """Return a batch's keys at the top, in order."""
    if batch is None:
        return []
    tops = [leaf.key.partition(".")[0] for leaf in batch.leaves]
    return list(dict.fromkeys([*tops, *batch.other_keys]))


def leaf_of_shape(batch: BatchRow | None, shape: tuple[int, ...]) -> LeafRow | None:
    """Return the batch's tensor of this shape, if there is exactly one."""
    found = [leaf for leaf in batch.leaves if leaf.shape == shape] if batch else []
    return found[0] if len(found) == 1 else None


def sizes_differ(trace: Trace, row: ExceptionRow) -> bool:
    """Tell whether a loss function met more or fewer rows than there are labelled samples."""
    rows, batch = ROWS.search(row.message), batch_of(row, trace)
    if not rows or batch is None:
        return False
    outputs, targets = int(rows[1]), int(rows[2])
    labels = [leaf for leaf in batch.leaves if leaf.shape and math.prod(leaf.shape) == targets]
    samples = labels[0].shape[0] if labels else batch.size
    return samples is not None and (targets == samples or outputs % samples != 0)


def named(module: str, class_name: str) -> str:
    """Return `layers.0.norm (LayerNorm)`, or the class alone for the model itself."""
    return f"{module} ({class_name})" if module else class_name


def headline(message: str, most: int = 300) -> str:
    """Return a message's first line, cut where it is long."""
    first = message.strip().splitlines()[0] if message.strip() else ""
    return first if len(first) <= most else f"{first[:most]} …"


def quoted(row: ExceptionRow) -> str:
    """Return an exception as Python prints it, on one line; our own of a missing loss without."""
    said = headline(row.message)
    return said if row.type_name == "NoLoss" else f"{row.type_name}: {said}"
