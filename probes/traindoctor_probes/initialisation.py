"""Do all weights start at values from which they can be trained?

## What it measures
Every trainable matrix row by row before training: rows that are all equal, and rows at the end
of a table that are of another size than those before them. What is conspicuous is trained for a
few steps: do its rows part, does any gradient reach it, is the loss a number?

## Why it matters
Units that start equal and get equal gradients stay equal: a layer of 512 of them does the work of
one. Behind a ReLU, all zeros get no gradient at all. A row of zeros that is divided by its own
length is NaN, and one NaN in the first step ends training.

## Known limits
A constant matrix whose rows part within the observed steps is taken as meant: LoRA's B, zero
heads, the last layer of a residual branch. New rows are recognised by their size alone, those
that no sample uses are not judged, and rows that are the mean of the others are healthy. In a
watched run new rows are not judged, and a matrix that no gradient reaches is named only if there
are two of them, both zero.

## References
Goodfellow, Bengio, Courville, Deep Learning (2016), 8.4: initialisation must break the symmetry
between units. Hewitt, Initializing New Word Embeddings for Pretrained Language Models (2021).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import (
    Experiment,
    LossWithNoise,
    ReadSource,
    ReadWeights,
    ShortRun,
    WatchWeights,
)
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, figure, first_location, grouped
from traindoctor.trace import Place, WeightRow
from traindoctor_probes._tables import filled_at, is_out_of_scale, places, used

STILL_EQUAL = 1e-3  # of how far the elements moved: the rows did not part
FEWEST_PASSES = 2  # of a zero last layer, the layers below it get their gradient in the second

CONSTANT = Rule(
    code="TD704",
    name="constant-initialisation",
    severity=Severity.ERROR,
    title="{matrices} start with equal rows, and {outcome}",
    what="A weight matrix, or the rows that were added to a table, start at one value.",
    why="The units stay identical, get no gradient, or make NaN in the first step.",
    known_limits="Speaks only if a few training steps show the harm: rows that did not part, no "
    "gradient, or a loss that is NaN and becomes a number when the rows are drawn at random.",
    remedies=(
        Remedy(
            "Draw the weights at random",
            recommended=True,
            pros="Every unit starts as another one.",
            before="nn.init.zeros_(layer.weight)",
            after="nn.init.xavier_uniform_(layer.weight)",
        ),
        Remedy(
            "Draw new rows at the scale of the old ones",
            pros="They are as long as the rows that the model knows how to read.",
            before="table.weight[num_old:].zero_()",
            after="old, new = table.weight[:num_old], table.weight[num_old:]\n"
            "new.copy_(torch.randn_like(new) * old.std())",
        ),
    ),
    explains=("TD1", "TD2", "TD404", "TD405", "TD409", "TD418", "TD6", "TD705", "TD712"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at what starts constant or out of scale, then at what training makes of it."""
    rows = ask(ReadWeights()).weights
    chosen = tuple(row.name for row in rows if row.row_spread == 0 or is_out_of_scale(row))
    if not chosen:
        return
    watched = ask(WatchWeights(parameters=chosen))
    watched.require(backwards=1)
    equal = [row for row in watched.weights if starts_equal(row, rows)]
    blocks = used(ask, [row for row in watched.weights if is_out_of_scale(row)])
    harmful = equal + [row for row in blocks if row.block_value is not None]
    healed = _healed(ask, harmful) if harmful else None
    if healed is not None:
        yield constant(ask, harmful, "the first loss is NaN", healed)
        return
    still = written_by_the_user(ask, [row for row in equal if did_not_part(row)])
    unreached = [r for r in equal if r.num_passes >= FEWEST_PASSES and not r.num_rows_reached]
    dead = _revived(ask, unreached)
    if still or dead:
        outcome = "no gradient reaches them" if dead else "they stay equal"
        yield constant(ask, dead or still, outcome)


def starts_equal(row: WeightRow, before: tuple[WeightRow, ...]) -> bool:
    """Tell whether all rows were equal before training."""
    return any(other.name == row.name and other.row_spread == 0 for other in before)


def did_not_part(row: WeightRow) -> bool:
    """Tell whether gradients moved the rows, and moved them all alike."""
    is_trained = row.num_passes >= FEWEST_PASSES and row.num_rows_reached > 1 and row.moved > 0
    return is_trained and row.row_spread <= STILL_EQUAL * row.moved


def written_by_the_user(ask: Ask, rows: list[WeightRow]) -> list[WeightRow]:
    """Keep what a class of the user's builds: a library's own tokens may start alike on purpose."""
    built = {row.name for row in ask(ReadSource()).parameters if row.place}
    return [row for row in rows if row.name in built]


def _revived(ask: Ask, rows: list[WeightRow]) -> list[WeightRow]:
    """Keep what a gradient reaches as soon as there is noise on it: nothing else is in the way.

    A watched run's weights stay as they are: there, two matrices of zeros are needed, each of
    which may keep the other's gradient at zero.
    """
    if not rows:
        return []
    try:
        drawn = ask(LossWithNoise(parameters=tuple(row.name for row in rows))).gradients
    except ExperimentFailed:
        zeros = [row for row in rows if row.value == 0]
        return zeros if len(zeros) > 1 else []
    reached = {row.parameter for row in drawn if row.rms > 0}
    return [row for row in rows if row.name in reached]


def _healed(ask: Ask, rows: list[WeightRow]) -> float | None:
    """Return the first loss with noise on these matrices, if it is a number only then."""
    losses = ask(ShortRun()).losses
    if not losses or math.isfinite(losses[0].value):
        return None
    drawn = ask(LossWithNoise(parameters=tuple(row.name for row in rows))).losses
    return drawn[0].value if drawn and math.isfinite(drawn[0].value) else None


_WHY = {
    "the first loss is NaN": "A row of zeros has no direction: dividing it by its length, or "
    "taking its logarithm, makes NaN. With random values in these rows and nothing else changed, "
    "the same batch gives a finite loss.",
    "they stay equal": "Equal rows compute equal values and get equal gradients, so that every "
    "step leaves them equal. Only different starting values can part them.",
    "no gradient reaches them": "With these weights at one value the layer's output is the same "
    "for every input, where its nonlinearity is flat: the gradient is zero, in every step.",
}


def constant(ask: Ask, rows: list[WeightRow], outcome: str, healed: float | None = None) -> Finding:
    """Return the finding for matrices whose rows start equal."""
    names = grouped(row.name for row in rows)
    num_rows = sum(_block_size(row) for row in rows)
    values = {row.value if row.block_start is None else row.block_value for row in rows}
    value = values.pop() if len(values) == 1 else None
    spread, moved = max(row.row_spread for row in rows), max(row.moved for row in rows)
    start = f"start at {figure(value)}" if value is not None else "start equal"
    where = [f"rows {r.block_start} to {r.num_rows - 1}" for r in rows if r.block_start is not None]
    filled = filled_at(ask, rows)
    first = [Evidence("first loss", math.nan, healed)] if healed is not None else []
    parted = [
        Evidence("largest difference between two rows after the steps", spread, "not 0"),
        Evidence("farthest that an element moved", moved),
    ]
    return CONSTANT.finding(
        f"{names}: {where[0] if where else counted(num_rows, 'row')} {start}; {outcome}.",
        mechanism=_WHY[outcome],
        location=first_location([filled, *places(ask, rows)]),
        evidence=[
            Evidence("rows that start equal", num_rows, 0),
            Evidence("their value", value, "drawn at random"),
            *first,
            *(parted if math.isfinite(spread) else []),
            Evidence("backward passes watched", max(row.num_passes for row in rows)),
        ],
        remedies=[_drawn(rows[0], filled)] if where else None,
        subject=names,
        matrices=f"{len(rows)} weight matri{'x' if len(rows) == 1 else 'ces'}",
        outcome=outcome,
    )


def _drawn(row: WeightRow, filled: Place) -> Remedy:
    """Return the remedy for new rows, made of the line that fills them if there is one."""
    scaled = replace(CONSTANT.remedies[1], recommended=True)
    zeroed = re.match(r"(\w+(?:\[.*\])?)\.(?:zero_\(\)|fill_\(.*\))$", filled.text)
    if zeroed is None:
        return scaled
    drawn = f"{zeroed[1]}.normal_(std={figure(row.rms)})  # the RMS of the rows before them"
    return replace(scaled, before=filled.text, after=drawn)


def _block_size(row: WeightRow) -> int:
    return row.num_rows - (row.block_start or 0)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ReadWeights(),)


probe = Probe(
    name="initialisation",
    doc=__doc__,
    rules=(CONSTANT,),
    examine=examine,
    experiments=experiments,
)
