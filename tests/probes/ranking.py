"""Traces of several processes, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.probes.running import line

from traindoctor.trace import (
    CollectiveRow,
    DigestRow,
    LoaderRow,
    PassRow,
    RankRow,
    Trace,
    WrapperRow,
)

WRAP = line(12, "model = DistributedDataParallel(Net())")
LOADER = line(10, "loader = DataLoader(dataset)")
LOOP = line(20, "for batch in loader:")
BACKWARD = line(23, "loss.backward()")
STEP = line(24, "optimizer.step()")
NAMES = ("body.weight", "head.weight")


def rank(number: int, *, digests: str = "abcd", **facts: Any) -> RankRow:
    """Return a process that trained through a wrapper on batches with these digests."""
    loader = LoaderRow(index=0, place=LOADER, num_samples=128, sampler_class="RandomSampler")
    one = PassRow(
        index=0,
        place=LOOP,
        num_batches=len(digests),
        num_trained=len(digests),
        has_ended=True,
        digests=tuple(digests),
    )
    given: dict[str, Any] = {
        "wrappers": (WrapperRow(place=WRAP, num_calls=4),),
        "loaders": (loader,),
        "passes": (one,),
        "state": "returned",
        "num_steps": len(digests),
    }
    return RankRow(rank=number, world_size=2, has_group=True, **given | facts)


def step(number: int, of: int, **facts: Any) -> DigestRow:
    """Return a step of a rank, equal on all unless said otherwise."""
    given: dict[str, Any] = {
        "batch": number - 1,
        "place": STEP,
        "backward_place": BACKWARD,
        "parameters": NAMES,
        "before": (number, number),
        "reduced": (5, 6),
        "gradients": (5, 6),
        "after": (number + 1, number + 1),
        "gradient_norm": 1.0,
        "learning_rates": (0.1,),
    }
    return DigestRow(step=number, rank=of, **given | facts)


def both(*ranks: RankRow, digests: Sequence[DigestRow] = (), **tables: Any) -> Trace:
    """Return the trace of several ranks."""
    return Trace(ranks=ranks, digests=tuple(digests), **tables)


def alone(row: RankRow, *calls: CollectiveRow) -> RankRow:
    """Return a rank without a wrapper, with collectives of its own."""
    return replace(row, wrappers=(), collectives=calls)
