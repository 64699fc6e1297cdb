"""Do labels and ids stay within the classes and rows that there are?

## What it measures
Minimum and maximum of each integer tensor in the batches read; the number of classes that the
loss function was given and the number of rows of each embedding that was called. A batch that
goes beyond a bound which the first batch kept is tried by itself.

## Why it matters
A CPU raises IndexError. A GPU asserts inside a kernel: the process loses the device, and the
message names neither tensor nor value. It may be hours before such a batch comes.

## Known limits
Only the batches read are seen (16 unless set otherwise); a bad label later in the data is not.
Where the loss ignores a negative index other than -100, smaller labels of a later batch are not
tried. A setup with a `train_loop` cannot be given one batch: of it only the short run is judged.

## References
PyTorch, torch.nn.CrossEntropyLoss (targets in [0, C)) and torch.nn.Embedding (num_embeddings).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from traindoctor.experiments import Experiment, OneStep, ReadBatches
from traindoctor.probing import Ask, Evidence, Finding, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import location
from traindoctor.trace import BatchRow, ExceptionRow, LeafRow, Place, Trace
from traindoctor_probes._loaders import had
from traindoctor_probes._raised import DOWNSTREAM, batch_of, made, named, quoted, stopped, where

OUT_OF_RANGE = Rule(
    code="TD007",
    name="index-out-of-range",
    severity=Severity.CRITICAL,
    title="{what} takes {allowed}, and the data holds {value}",
    what="A label has no class, or an id has no row in its embedding.",
    why="On a CPU training stops with IndexError; on a GPU the whole process loses the device.",
    known_limits="A later batch of the data than those read may hold such a value too.",
    remedies=(
        Remedy(
            "Raise the number of classes that the head is built with",
            recommended=True,
            pros="Nothing of the data is lost.",
            before="model = Model(num_labels=5)",
            after="model = Model(num_labels=6)  # num_classes, out_features: the largest label + 1",
        ),
        Remedy(
            "Make room for the largest index",
            pros="Nothing of the data is lost.",
            before="table = nn.Embedding(num_embeddings, width)",
            after="table = nn.Embedding(int(ids.max()) + 1, width)\n"
            "model.resize_token_embeddings(len(tokenizer))  # transformers",
        ),
        Remedy(
            "Let labels begin at 0, without gaps",
            pros="The head stays as small as the number of classes.",
            after="labels = labels - labels.min()",
        ),
        Remedy(
            "Give what is not to be counted the ignore index",
            before="labels[padding] = -1",
            after="labels[padding] = -100",
        ),
        Remedy(
            "Name the labels' own ignore index to the loss function",
            before="F.cross_entropy(logits, labels)",
            after="F.cross_entropy(logits, labels, ignore_index=-1)",
        ),
        Remedy(
            "Put an index that exists in place of the negative ones",
            cons="What comes of it must then be left out by a mask.",
            after="embedded = table(ids.masked_fill(ids < 0, pad_id))",
        ),
    ),
    explains=DOWNSTREAM,
)
_MESSAGES = (
    "out of bounds",
    "out of range",
    "valid range",
    "device-side assert",
    "Class values must",
)
_LOSSES = ("cross_entropy", "nll_loss", "multi_margin_loss")
_LOOKUPS = ("embedding", "embedding_bag")
_OTHERS = ("gather", "one_hot", "index_select", "scatter", "scatter_", "take_along_dim")
_TARGET = re.compile(r"Target (-?\d+) is out of bounds")
_INDEXED = re.compile(r"index (-?\d+) is out of bounds for dimension \d+ with size (\d+)")
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Options:
    """How many of the batches that leave a bound are tried."""

    num_tried: int = 2


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Judge the first batch's exception, then try the batches that go beyond a bound."""
    step, read = ask(OneStep()), had(ask, ReadBatches()) or Trace()
    if not step.exceptions and not step.setup.has_train_loop:
        suspects = [row.index for row in read.batches if beyond(row, read.batches[0], step)]
        for index in suspects[: options.num_tried]:
            closer = ask(OneStep(batch=index))
            for row in closer.exceptions[:1]:
                if is_index(row):
                    yield finding(ask, closer, row, read)
                    return
    found = stopped(ask)
    if found is not None and is_index(found[1]):
        yield finding(ask, *found, read)


def beyond(batch: BatchRow, first: BatchRow, step: Trace) -> bool:
    """Tell whether a batch leaves a bound that the first batch kept."""
    bounds = {row.num_classes for row in step.criteria if row.num_classes}
    bounds |= {
        row.attributes["num_embeddings"]
        for row in step.modules
        if row.num_calls and "num_embeddings" in row.attributes
    }
    before = {leaf.key: leaf for leaf in first.leaves}
    for leaf in batch.leaves:
        known = before.get(leaf.key)
        if known is None or leaf.share_ignored is None:
            continue
        low, high = known.lowest or 0, known.maximum or 0
        if any(high < bound <= (leaf.maximum or 0) for bound in bounds):
            return True
        if bounds and low >= 0 > (leaf.lowest or 0):
            return True
    return False


def is_index(row: ExceptionRow) -> bool:
    """Tell whether an exception is about the values of an index tensor, not about a dimension."""
    message = row.message
    if row.operation in (*_LOSSES, *_LOOKUPS, *_OTHERS):
        return any(text in message for text in _MESSAGES) and "Dimension" not in message
    said = _TARGET.match(message) or _INDEXED.match(message)
    return bool(said) or message == "index out of range in self" or "device-side assert" in message


def finding(ask: Ask, trace: Trace, row: ExceptionRow, read: Trace) -> Finding:
    """Return the finding, with tensor, value, sample and the range that is allowed."""
    limit, extremes = _limit(row), _extremes(row)
    leaf = _leaf(trace, row, extremes)
    value = _worst(row, limit, extremes)
    sample = _sample(leaf, value)
    is_label = row.operation in _LOSSES or row.message.startswith("Target ")
    what = row.operation if is_label else named(row.module, row.module_class)
    indexed = "The tensor that is indexed" if _INDEXED.match(row.message) else ""
    what = what or row.operation or indexed or "The loss function"
    room = "classes" if is_label else "rows"
    allowed = f"0 to {limit - 1}" if limit else "smaller indices"
    num_batches = _num_outside(read, leaf.key, value, limit) if leaf and read.batches else None
    source = f"The batch's `{leaf.key}`" if leaf else "A tensor computed in the forward"
    is_large = leaf is not None and value == leaf.maximum and not _is_negative(value)
    origin = Place()
    if leaf and is_large:
        origin = made(ask, "largest", leaf.key)
    elif leaf and _is_negative(value):  # it has no place in any model: its own line comes first
        origin = made(ask, "made", leaf.key)
        row = replace(row, place=row.place or origin)
    if is_label and not _is_negative(value):  # a library's loss has no line; no forward is at fault
        row = replace(row, place=row.place or _head(trace, limit))
    position = f" in sample {sample} of batch {row.batch}" if leaf and sample is not None else ""
    return OUT_OF_RANGE.finding(
        f"{source} holds {value}{position}; {what} has "
        + (f"{limit} {room} and takes {allowed}" if limit else f"no {room[:-2]} for it")
        + (
            "."
            if num_batches is None
            else f". Such values are in {num_batches} of the {len(read.batches)} batches read."
        )
        + (
            f" Values so large begin at `{origin.text}` (line {origin.line})."
            if origin and is_large
            else ""
        ),
        mechanism="An index selects a row by its position. Nothing checks it before the kernel "
        "runs, and a position before the first row or beyond the last is memory that belongs to "
        "something else.",
        location=where(row, trace, origin),
        also_at=[location(origin)] if origin and origin != row.place else [],
        evidence=[
            Evidence("index", value, allowed),
            Evidence("tensor of the batch", leaf.key if leaf else "computed in the forward"),
            Evidence(room, limit),
            Evidence("batches that hold such values", num_batches, 0),
        ],
        remedies=_remedies(value, leaf, is_label=is_label),
        quote=quoted(row),
        subject=leaf.key if leaf else row.module,
        what=what,
        allowed=allowed,
        value=value,
    )


def _limit(row: ExceptionRow) -> int | None:
    """Return the number of classes or rows."""
    indexed, shapes = _INDEXED.match(row.message), row.operand_shapes
    if indexed:
        return int(indexed[2])
    if row.operation in _LOSSES and shapes and shapes[0]:
        return shapes[0][1] if len(shapes[0]) > 1 else shapes[0][0]
    if row.operation in _LOOKUPS and len(shapes) > 1:
        return shapes[1][0]
    found = row.module_attributes.get("num_embeddings")
    return int(found) if found else None


def _head(trace: Trace, num_classes: int | None) -> Place:
    """Return where the last layer with as many outputs is built, if it was called."""
    heads = [
        (row.order, row.place)
        for row in trace.modules
        if row.order is not None and row.attributes.get("out_features") == num_classes
    ]
    return max(heads, key=lambda head: head[0], default=(0, Place()))[1]


def _extremes(row: ExceptionRow) -> tuple[float, float] | None:
    """Return minimum and maximum of the index tensor."""
    position = 1 if row.operation in _LOSSES else 0
    ranges = row.operand_ranges
    return ranges[position] if len(ranges) > position else None


def _leaf(trace: Trace, row: ExceptionRow, extremes: tuple[float, float] | None) -> LeafRow | None:
    """Return the tensor of the batch with these extremes, if there is one."""
    batch = batch_of(row, trace)
    if batch is None or extremes is None:
        return None
    integers = [leaf for leaf in batch.leaves if leaf.share_ignored is not None]
    found = [leaf for leaf in integers if (leaf.minimum, leaf.maximum) == extremes]
    if len(found) > 1 and row.operation in _LOSSES:
        found = [leaf for leaf in found if "label" in leaf.key or "target" in leaf.key] or found
    return found[0] if found else None


def _worst(row: ExceptionRow, limit: int | None, extremes: tuple[float, float] | None) -> int | str:
    """Return the value that is out of range."""
    said = _TARGET.match(row.message) or _INDEXED.match(row.message)
    if said:
        return int(said[1])
    if extremes is None:
        return "an index out of range"
    low, high = int(extremes[0]), int(extremes[1])
    return high if limit is not None and high >= limit else low


def _sample(leaf: LeafRow | None, value: int | str) -> int | None:
    if leaf is None or value not in (leaf.lowest, leaf.maximum):
        return None
    return leaf.sample_of_maximum if value == leaf.maximum else leaf.sample_of_lowest


def _is_negative(value: int | str) -> bool:
    return isinstance(value, int) and value < 0


def _num_outside(read: Trace, key: str, value: int | str, limit: int | None) -> int | None:
    """Return in how many of the batches read values leave the range on the same side."""
    leaves = [leaf for row in read.batches for leaf in row.leaves if leaf.key == key]
    if value == IGNORED:
        return sum((leaf.share_ignored or 0) > 0 for leaf in leaves)
    if _is_negative(value):
        return sum((leaf.lowest or 0) < 0 for leaf in leaves)
    return sum((leaf.maximum or 0) >= limit for leaf in leaves) if limit else None


def _remedies(value: int | str, leaf: LeafRow | None, *, is_label: bool) -> list[Remedy]:
    """Return the ways out: more room does not help a negative value."""
    classes, rows, from_zero, ignored, named, existing = OUT_OF_RANGE.remedies
    if not _is_negative(value):
        ways = [classes if is_label else rows, from_zero, ignored]
    elif not is_label:
        ways = [existing]
    elif value == IGNORED:
        ways = [named]
    elif leaf and len(leaf.shape) == 1:  # one label a sample, and what sample is not to count?
        ways = [from_zero, ignored, named]
    else:
        ways = [ignored, named, from_zero]
    return [replace(way, recommended=way is ways[0]) for way in ways]


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadBatches(), OneStep()


probe = Probe(
    name="index-ranges",
    doc=__doc__,
    rules=(OUT_OF_RANGE,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
