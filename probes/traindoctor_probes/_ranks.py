"""What probes ask of several processes: which steps can be compared, and what differs there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from traindoctor.errors import CannotJudge
from traindoctor.trace import DigestRow, PassRow, RankRow, Trace

MOST_LISTED = 8  # ranks
Rows = tuple[DigestRow, ...]


def is_data_parallel(row: RankRow) -> bool:
    """Tell whether a process shares its gradients: by a wrapper, or by collectives of its own.

    A collective over a copy of gradients that stay as they are shares none.
    """
    stays = {one.place for one in row.exchanges if one.is_copy and one.is_still}
    shared = (call for call in row.collectives if call.of == "gradients")
    return bool(row.wrappers) or any(call.place not in stays for call in shared)


def refuse_what_cannot_be_compared(run: Trace) -> None:
    """Refuse to judge where ranks are meant to hold different weights.

    Raises:
        CannotJudge: the weights are sharded, or the script averages them by itself.
    """
    if any(row.is_sharded for row in run.ranks):
        raise CannotJudge("the parameters are spread over the ranks")
    calls = [call for row in run.ranks for call in row.collectives]
    averaging = next((call for call in calls if call.of == "weights" and call.num_later), None)
    if averaging is not None:
        where = f" at line {averaging.place.line}" if averaging.place else ""
        raise CannotJudge(f"the script exchanges weights itself, by {averaging.name}{where}")


def steps_beside(run: Trace) -> list[Rows]:
    """Return the steps that were compared, each with the rows of its ranks, in order.

    Where passes over a loader have unequal lengths, what comes after the shorter one is no
    longer the same step on each rank. Optimizers that hold other parameters are not compared.
    """
    limit = _last_comparable(run)
    by_step: dict[tuple[int, int], list[DigestRow]] = defaultdict(list)
    for row in run.digests:
        if row.batch < limit:
            by_step[row.step, row.optimizer].append(row)
    found = [tuple(rows) for _, rows in sorted(by_step.items())]
    return [rows for rows in found if len(rows) > 1 and len({row.parameters for row in rows}) == 1]


def differing(rows: Rows, field: str) -> list[str]:
    """Return the parameters whose digests differ between ranks; what a rank lacks differs not."""
    columns: list[Sequence[int | None]] = [getattr(row, field) for row in rows]
    if not all(len(column) == len(rows[0].parameters) for column in columns):
        return []
    return [
        name
        for name, *values in zip(rows[0].parameters, *columns, strict=True)
        if len({value for value in values if value is not None}) > 1
    ]


def own_parts(run: Trace) -> set[str]:
    """Return parameters beside the wrapper that each rank starts with values of its own for."""
    first = [rows for rows in steps_beside(run) if rows[0].step == 1]
    beside = {name for rows in first for row in rows for name in row.unwrapped}
    return beside & {name for rows in first for name in differing(rows, "before")}


def by_rank(rows: Iterable[DigestRow], field: str) -> str:
    """Return a figure of each rank, as `rank 0: 0.31, rank 1: 0.54`."""
    return listed([f"rank {row.rank}: {getattr(row, field):.3g}" for row in rows])


def listed(texts: Sequence[str]) -> str:
    """Return what is told of each rank, of the first few where there are many."""
    more = len(texts) - MOST_LISTED
    return ", ".join(texts[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def trained_passes(row: RankRow) -> list[PassRow]:
    """Return the kept passes of a process that were trained on."""
    return [one for one in row.passes if one.num_trained]


def unequal_passes(run: Trace) -> list[tuple[tuple[RankRow, PassRow], ...]]:
    """Return passes that ended on one rank while another had more batches, with their ranks."""
    by_number: dict[tuple[int, int], list[tuple[RankRow, PassRow]]] = defaultdict(list)
    for row in run.ranks:
        for one in row.passes:
            by_number[one.number, one.loader].append((row, one))
    return [tuple(found) for _, found in sorted(by_number.items()) if _are_unequal(found)]


def _are_unequal(found: Sequence[tuple[RankRow, PassRow]]) -> bool:
    ended = [one.num_batches for _, one in found if one.has_ended]
    return bool(ended) and min(ended) < max(one.num_batches for _, one in found)


def _last_comparable(run: Trace) -> float:
    """Return the number of batches after which ranks are no longer in step."""
    unequal = unequal_passes(run)
    if not unequal:
        return float("inf")
    first = unequal[0][0][1]
    each = [
        sum(
            one.num_batches
            for one in row.passes
            if one.loader == first.loader and one.number <= first.number
        )
        for row in run.ranks
    ]
    return min(each)
