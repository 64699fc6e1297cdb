"""Keeps a long run's pulses few: neighbours are summed up, extremes are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from traindoctor.trace.rows import PulseRow

WHOLE = 64  # steps at the beginning that stay one a row


def merged(a: PulseRow, b: PulseRow) -> PulseRow:
    """Return two pulses of one optimizer, the second right after the first, as one."""
    losses = [(row.loss, _num_finite(row)) for row in (a, b)]
    norms = [(row.gradient_norm, row.num_norms - row.num_norms_not_finite) for row in (a, b)]
    return replace(
        a,
        last_step=b.last_step,
        num_batches=a.num_batches + b.num_batches,
        num_begun=a.num_begun + b.num_begun,
        num_new=a.num_new + b.num_new,
        num_samples=_sum(a.num_samples, b.num_samples),
        num_backwards=a.num_backwards + b.num_backwards,
        loss=_mean(losses),
        minimum_loss=_extreme(min, a.minimum_loss, b.minimum_loss),
        maximum_loss=_extreme(max, a.maximum_loss, b.maximum_loss),
        last_loss=a.last_loss if b.last_loss is None else b.last_loss,
        num_losses_not_finite=a.num_losses_not_finite + b.num_losses_not_finite,
        gradient_norm=_mean(norms),
        maximum_gradient_norm=_extreme(max, a.maximum_gradient_norm, b.maximum_gradient_norm),
        num_norms=a.num_norms + b.num_norms,
        num_norms_not_finite=a.num_norms_not_finite + b.num_norms_not_finite,
        first_learning_rates=a.first_learning_rates or b.first_learning_rates,
        last_learning_rates=b.last_learning_rates or a.last_learning_rates,
        seconds=a.seconds + b.seconds,
        fetch_seconds=a.fetch_seconds + b.fetch_seconds,
        forward_seconds=a.forward_seconds + b.forward_seconds,
        backward_seconds=a.backward_seconds + b.backward_seconds,
        step_seconds=a.step_seconds + b.step_seconds,
    )


def thinned(rows: Sequence[PulseRow]) -> list[PulseRow]:
    """Return one optimizer's rows with every two neighbours as one, but for its first steps."""
    first = [row for row in rows if row.last_step < WHOLE]
    rest = rows[len(first) :]
    pairs = zip(rest[::2], rest[1::2], strict=False)
    odd = rest[len(rest) - len(rest) % 2 :]
    return [*first, *(merged(a, b) for a, b in pairs), *odd]


def _num_finite(row: PulseRow) -> int:
    return max(row.num_backwards - row.num_losses_not_finite, 0)


def _mean(weighted: Sequence[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in weighted if value is not None and weight > 0]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _extreme(
    choose: Callable[[list[float]], float], a: float | None, b: float | None
) -> float | None:
    known = [value for value in (a, b) if value is not None]
    return choose(known) if known else None
