"""What a reported loss may be made of: figures of the losses that were differentiated before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from traindoctor.trace import ReportRow, WindowRow

ROUNDING = 1e-4  # of a value: sums are taken in single precision, too

ACCUMULATION = "a mean of losses that were divided by the accumulation"
ONE_DIVIDED = "a loss that was divided by the accumulation"
BY_SAMPLES = "the sum of the batches' mean losses divided by the number of samples"
BY_DATASET = "the sum of the batches' mean losses divided by the size of the data set"
BY_BATCHES = "losses multiplied by their batch's size and divided by the number of batches"
LAST_ALONE = "the last batch's loss alone, divided by the number of batches"
BY_CONSTANT = "the sum of the losses since the last report divided by {divisor}"


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure that a report may show, and the one it should have shown."""

    value: float
    expected: float


def honest(row: ReportRow, scale: float, num_batches: int | None) -> dict[str, float]:
    """Return the figures with which nothing is wrong, by name: means, sums and last values.

    Args:
        row: the report.
        scale: of a loss over what was differentiated: the accumulation that it was divided by.
        num_batches: of the whole loader, by which a loop may divide that saw only some.
    """
    found: dict[str, float | None] = {}
    for name, window in _windows(row):
        total = _total(window, scale)
        weighted = _times(scale, window.weighted)
        found |= {
            f"mean {name}": _times(scale, window.mean),
            f"sum {name}": total,
            f"last {name}": _times(scale, window.last),
            f"weighted sum {name}": weighted,
            f"weighted mean {name}": _over(weighted, window.num_samples),
            f"weighted mean of all {name}": _over(weighted, row.num_dataset),
            f"mean of all {name}": _over(total, num_batches),
        }
    return {name: value for name, value in found.items() if value is not None}


def mistaken(row: ReportRow, scale: float, divisors: Sequence[int]) -> dict[str, Shown]:
    """Return the figures that only a mistake makes of losses that are means over their batch.

    Args:
        row: the report.
        scale: see `honest`.
        divisors: numbers that the code spells out.
    """
    found: dict[str, Shown] = {}
    for _, window in _windows(row):
        mean, last = _times(scale, window.mean), _times(scale, window.last)
        if last is not None and window.last is not None and scale != 1:
            found.setdefault(ONE_DIVIDED, Shown(window.last, last))
        total = _total(window, scale)
        made = {
            ACCUMULATION: window.mean if scale != 1 else None,
            BY_SAMPLES: _over(total, window.num_samples),
            BY_DATASET: _over(total, row.num_dataset),
            BY_BATCHES: _over(_times(scale, window.weighted), window.num_losses),
            LAST_ALONE: _over(last, window.num_losses),
        }
        made |= {BY_CONSTANT.format(divisor=d): _over(total, d) for d in divisors}
        if mean is not None:
            found |= {
                n: Shown(v, mean) for n, v in made.items() if v is not None and n not in found
            }
    return found


def agreeing(rows: Sequence[ReportRow], figures: Sequence[Mapping[str, float]]) -> list[str]:
    """Name the figures that every report of a series shows, as closely as it was written."""
    names = set(figures[0]).intersection(*figures[1:])
    return [
        name
        for name in figures[0]
        if name in names
        and all(
            abs(row.value - made[name]) <= tolerance(row, made[name])
            for row, made in zip(rows, figures, strict=True)
        )
    ]


def digits(rows: Sequence[ReportRow]) -> float:
    """Return how many digits all reports of a series have together: what agreeing is worth."""
    return sum(
        -math.log10(tolerance(row, row.value) / abs(row.value))
        for row in rows
        if row.value and math.isfinite(row.value)
    )


def tolerance(row: ReportRow, figure: float) -> float:
    """Return by how much a report may differ from a figure and still show it."""
    return row.resolution + ROUNDING * abs(figure)


def _windows(row: ReportRow) -> list[tuple[str, WindowRow]]:
    return [("since the last report", row.since_report), ("since the epoch", row.since_epoch)]


def _total(window: WindowRow, scale: float) -> float | None:
    return _times(scale * window.num_losses, window.mean)


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def _over(value: float | None, divisor: float | None) -> float | None:
    return None if value is None or not divisor else value / divisor
