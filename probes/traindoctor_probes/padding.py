"""How much of the batches is padding?

## What it measures
Of each attention or padding mask (batch, time) in the batches: the share of positions that it
leaves out, if these stand in one piece at the rows' ends. Where there is no mask: the share of
such pieces that hold the `padding_idx` of one of the model's embeddings. And how much would be left
out if each batch were as long as its longest sample.

## Why it matters
Padding is computed like everything else: memory and time of a step grow with the length of the
row, and attention with its square. Where most of a batch is padding, most of the run is.

## Known limits
A mask is known by its name, or by token ids that hold one value wherever it is 0. Masks with holes
(random masks, packed sequences), and those of more than two axes, are not judged. Rows of fixed
length without a mask and without a `padding_idx` are not known to be padded.

## References
Krell et al., "Efficient Sequence Packing without Cross-contamination", 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import BatchRow, EdgeRow, LeafRow, LoaderRow, Trace
from traindoctor_probes._loaders import TARGET_NAMES, batches_of, place_of, trained_on

KEEPS = ("attention_mask", "decoder_attention_mask", "encoder_attention_mask", "input_mask")
DROPS = ("padding_mask", "pad_mask", "key_padding_mask", "src_key_padding_mask")
HOLES = 0.01  # of all positions: so many may be left out elsewhere than at a row's ends
EQUAL = 0.005  # difference of two shares that are one

MOSTLY = Rule(
    code="TD512",
    name="mostly-padding",
    severity=Severity.WARNING,
    title="{share:.0%} of the tokens in the batches are padding",
    what="Most positions of the batches hold no data.",
    why="Time and memory of each step go into positions that are thrown away.",
    known_limits="Needs a mask (batch, time), or an embedding's `padding_idx`. Masks with holes "
    "are not judged.",
    remedies=(
        Remedy(
            "Pad each batch to its own longest sample",
            recommended=True,
            before='tokenizer(text, padding="max_length", max_length=512)',
            after="tokenizer(text, truncation=True, max_length=512)\n"
            "collate = DataCollatorWithPadding(tokenizer)",
        ),
        Remedy(
            "Put samples of like length into one batch",
            pros="Little padding is left, whatever the spread of lengths.",
            cons="Batches are no longer drawn quite at random.",
            after='TrainingArguments(train_sampling_strategy="group_by_length")',
        ),
        Remedy(
            "Pack several samples into one row",
            pros="No padding at all.",
            cons="Attention and positions must be kept apart between the samples.",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Options:
    """From when on it is worth a word."""

    share: float = 0.5
    num_batches: int = 3
    num_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class Padded:
    """What is known of the padding of one batch."""

    key: str
    num_tokens: int
    num_padded: float
    num_rows: int
    longest: int  # sample of the batch
    length: int  # of a row
    is_sure: bool


def examine(ask: Ask, options: Options) -> Iterator[Finding]:
    """Add up the padding of the batches that were seen."""
    run = ask(ShortRun())
    tables = {
        float(row.attributes["padding_idx"]): int(row.attributes.get("num_embeddings", 0))
        for row in run.modules
        if isinstance(row.attributes.get("padding_idx"), int)
    }
    for loader in trained_on(run):
        found: dict[str, list[Padded]] = {}
        for row in batches_of(run, loader):
            for padded in paddings(row, tables):
                found.setdefault(padded.key, []).append(padded)
        heavy = [each for each in found.values() if is_heavy(each, options)]
        if heavy:
            yield finding(run, loader, max(heavy, key=share_of))


def paddings(batch: BatchRow, tables: dict[float, int]) -> Iterator[Padded]:
    """Yield the padding of each mask of a batch, and of token ids for which there is none.

    `tables` are the sizes of the model's embeddings by their `padding_idx`.
    """
    masked = {leaf.shape for leaf in batch.leaves if name_of(leaf) in (*KEEPS, *DROPS)}
    for leaf in batch.leaves:
        edge = padding_in_mask(leaf, batch)
        if edge is not None:
            masked.add(leaf.shape)
            yield padded(leaf, edge, is_sure=True)
    for leaf in batch.leaves:
        if leaf.shape in masked or not is_tokens(leaf) or name_of(leaf) in TARGET_NAMES:
            continue
        for edge in leaf.edges:
            is_in_table = (leaf.maximum or 0) < tables.get(edge.value, 0)
            if is_in_table and edge.share_elsewhere <= HOLES:
                yield padded(leaf, edge, is_sure=False)


def name_of(leaf: LeafRow) -> str:
    """Return the last part of a tensor's key."""
    return leaf.key.rpartition(".")[2]


def is_tokens(leaf: LeafRow) -> bool:
    """Tell whether a tensor can be token ids (batch, time)."""
    is_integer = leaf.dtype.startswith(("int", "uint"))
    return is_integer and len(leaf.shape) == 2 and (leaf.maximum or 0) > 1


def padding_in_mask(leaf: LeafRow, batch: BatchRow) -> EdgeRow | None:
    """Return the run of positions that a mask leaves out, or None where it is none, or unclear."""
    if len(leaf.shape) != 2 or leaf.minimum not in (0, 1) or leaf.maximum not in (0, 1):
        return None
    name = name_of(leaf)
    others = [other for other in batch.leaves if other is not leaf]
    if not any(other.shape[:2] == leaf.shape for other in others):
        return None
    for edge in leaf.edges:
        if edge.share_elsewhere > HOLES:
            continue
        is_named = (name in KEEPS and edge.value == 0) or (name in DROPS and edge.value == 1)
        if is_named or (name not in (*KEEPS, *DROPS) and has_one_value_there(edge, leaf, others)):
            return edge
    return None


def has_one_value_there(edge: EdgeRow, leaf: LeafRow, others: list[LeafRow]) -> bool:
    """Tell whether token ids hold one value in just as many positions at the rows' ends."""
    return any(
        abs(other.share - edge.share) <= EQUAL and other.share_elsewhere <= HOLES
        for tokens in others
        if is_tokens(tokens) and tokens.shape == leaf.shape
        for other in tokens.edges
        if other.value >= 0  # -100 in labels marks what the loss leaves out
    )


def padded(leaf: LeafRow, edge: EdgeRow, *, is_sure: bool) -> Padded:
    """Return a tensor's padding."""
    num_tokens = math.prod(leaf.shape)
    return Padded(
        key=leaf.key,
        num_tokens=num_tokens,
        num_padded=edge.share * num_tokens,
        num_rows=leaf.shape[0],
        longest=edge.longest_rest,
        length=leaf.shape[1],
        is_sure=is_sure,
    )


def is_heavy(batches: list[Padded], options: Options) -> bool:
    """Tell whether there is enough to judge, and too much of it padding."""
    num_tokens = sum(each.num_tokens for each in batches)
    is_enough = len(batches) >= options.num_batches and num_tokens >= options.num_tokens
    return is_enough and share_of(batches) > options.share


def share_of(batches: list[Padded]) -> float:
    """Return the share of padding over several batches."""
    return sum(each.num_padded for each in batches) / sum(each.num_tokens for each in batches)


def finding(run: Trace, loader: LoaderRow, batches: list[Padded]) -> Finding:
    """Return the finding, with what shorter rows would leave of it."""
    num_tokens = sum(each.num_tokens for each in batches)
    real = num_tokens - sum(each.num_padded for each in batches)
    needed = sum(each.num_rows * each.longest for each in batches)
    left = 1 - real / needed if needed else 0.0
    share, lengths = share_of(batches), {each.length for each in batches}
    longest = max(each.longest for each in batches)
    rows = f"{lengths.pop()} tokens long" if len(lengths) == 1 else "of several lengths"
    key = batches[0].key
    name = f"element {key}" if key.isdigit() else f"'{key}'"
    return MOSTLY.finding(
        f"{counted(len(batches), 'batch')} hold {num_tokens:,} tokens, of which {name} says that "
        f"{num_tokens - real:,.0f} are padding. Rows are {rows}; the longest sample has {longest}. "
        f"Padded to the longest of each batch, {left:.0%} would be padding.",
        confidence=None if batches[0].is_sure else Confidence.LIKELY,
        mechanism="Every position of a row is computed in every layer, also where the mask takes "
        "its result away.",
        location=first_location([place_of(run, loader)]),
        evidence=[
            Evidence("share of padding", share, left),
            Evidence("tokens that count in a batch", real / len(batches)),
            Evidence("tokens computed in a batch", num_tokens / len(batches)),
            Evidence("longest sample", longest),
        ],
        share=share,
    )


def experiments(options: Options) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="padding",
    doc=__doc__,
    rules=(MOSTLY,),
    options=Options,
    examine=examine,
    experiments=experiments,
)
