"""Are the rows that were added to an embedding or a head of the size of the others?

## What it measures
The root mean square of every row of every trainable table before training; a block of rows at the
end that are all of another size than those before; and whether this data uses them.

## Why it matters
A vocabulary is extended and the new rows keep the library's default size. Fifty times longer than
the trained ones, they drown them; a hundred times shorter, they cannot be told apart.

## Known limits
New rows are recognised by their size alone, single ones are not. Rows that no sample uses are
padding, and rows that are the mean of the others are healthy. A head is known by the number of
classes that the loss function gets.

## References
Hewitt, Initializing New Word Embeddings for Pretrained Language Models (2021).
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ReadWeights, WatchWeights
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location, grouped
from traindoctor.trace import WeightRow
from traindoctor_probes._tables import (
    TOO_LARGE,
    TOO_SMALL,
    filled_at,
    is_out_of_scale,
    places,
    sliced_at,
    used,
)

NEW_ROWS = Rule(
    code="TD705",
    name="new-rows-out-of-scale",
    severity=Severity.WARNING,
    title="{num_rows} rows at the end of {name} are {times} than the {num_old} before them",
    what="Rows added to an embedding or a head are of another size than those that were there.",
    why="The new entries drown the old ones, or vanish beside them, until training has undone it.",
    known_limits=f"Speaks from {TOO_LARGE:.0f} times longer or {1 / TOO_SMALL:.0f} times shorter.",
    remedies=(
        Remedy(
            "Draw new rows at the scale of the old ones",
            recommended=True,
            before="table.weight[num_old:].normal_()",
            after="old, new = table.weight[:num_old], table.weight[num_old:]\n"
            "new.copy_(torch.randn_like(new) * old.std())",
        ),
        Remedy(
            "Start new rows at the mean of the old ones",
            pros="transformers does this: `resize_token_embeddings(n, mean_resizing=True)`.",
        ),
    ),
    explains=("TD104", "TD408"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for blocks of another size, then for their use."""
    rows = ask(ReadWeights()).weights
    # The same experiment as for weights that start constant, so that it is run once.
    chosen = tuple(row.name for row in rows if row.row_spread == 0 or is_out_of_scale(row))
    if not any(is_out_of_scale(row) for row in rows):
        return
    watched = ask(WatchWeights(parameters=chosen))
    watched.require(backwards=1)
    blocks = used(ask, [row for row in watched.weights if is_out_of_scale(row)])
    if blocks:
        yield new_rows(ask, blocks)


def new_rows(ask: Ask, blocks: list[WeightRow]) -> Finding:
    """Return the finding for rows that were added to one or several tables."""
    row, old = blocks[0], blocks[0].block_start or 0
    ratio = row.block_rms / row.rms
    longer = f"{figure(ratio)} times longer"
    times = longer if ratio > 1 else f"{figure(1 / ratio)} times shorter" if ratio else "all zero"
    return NEW_ROWS.finding(
        f"In {grouped(row.name for row in blocks)}, rows {old} to {row.num_rows - 1} have an RMS "
        f"of {figure(row.block_rms)}, and the rows before them one of {figure(row.rms)}.",
        mechanism="A row's length says how loud its entry is. The layers behind the table are "
        "made for entries as loud as the old ones.",
        location=first_location([filled_at(ask, blocks), sliced_at(ask), *places(ask, blocks)]),
        evidence=[
            Evidence("RMS of the new rows", row.block_rms, row.rms),
            Evidence("new rows", row.num_rows - old),
            Evidence("of them with a gradient", row.num_block_rows_reached),
        ],
        num_rows=row.num_rows - old,
        num_old=old,
        name=row.name,
        times=times if ratio else "all zero, other",
        subject=grouped(row.name for row in blocks),
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ReadWeights(),)


probe = Probe(
    name="table-rows",
    doc=__doc__,
    rules=(NEW_ROWS,),
    examine=examine,
    experiments=experiments,
)
