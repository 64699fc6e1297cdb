"""Who of several processes waits for whom, as their last exchanges tell.

Each queue is taken turn by turn by all of its members. A process that has entered a turn and not
left it waits for the members that have not entered it. What is told holds however the processes
were stopped, and at whatever moments: who waits in one turn enters no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from traindoctor.trace.rows import CallRow

__all__ = [
    "SAME_SIZES",
    "Calls",
    "circle",
    "first_difference",
    "has_entered",
    "kind",
    "missing",
    "named",
    "standing",
]

Calls = Mapping[int, Sequence[CallRow]]  # by rank; none of a process whose exchanges are not known
LEFT = "left"
ALL = "0"  # what torch calls the group of all processes
SAME_SIZES = ("all_reduce", "reduce", "broadcast", "all_gather_into_tensor", "all_gather_single")


def standing(calls: Sequence[CallRow]) -> CallRow | None:
    """Return the exchange that a process waits in, or was torn out of."""
    last = max(calls, key=lambda call: call.number, default=None)
    return None if last is None or last.state == LEFT else last


def has_entered(calls: Sequence[CallRow], turn: CallRow) -> bool | None:
    """Tell whether a process has entered a turn; None where its log does not reach back so far."""
    turns = [call.turn for call in calls if call.queue == turn.queue and not call.is_wait]
    if turns:
        return max(turns) >= turn.turn
    return False if calls and min(call.number for call in calls) == 1 else None


def missing(call: CallRow, calls: Calls) -> list[int]:
    """Return the members that surely have not entered an exchange; none of one without a turn."""
    known = [rank for rank in call.members if rank in calls] if call.turn else []
    return [rank for rank in known if has_entered(calls[rank], call) is False]


def circle(calls: Calls) -> list[int]:
    """Return processes that wait for one another, each for the next; none where there are none."""
    stand = {rank: call for rank, own in calls.items() if (call := standing(own)) is not None}
    waits = {rank: [r for r in missing(call, calls) if r in stand] for rank, call in stand.items()}
    for rank, others in waits.items():
        for other in others:
            if rank in waits[other]:
                return [rank, other]
    return _longer_circle(waits)


def _longer_circle(waits: Mapping[int, Sequence[int]]) -> list[int]:
    done: set[int] = set()
    for first in waits:
        path: list[int] = []
        ways = [iter([first])]
        while ways:
            rank = next(ways[-1], None)
            if rank is None:
                ways.pop()
                done.update([path.pop()] if path else [])
            elif rank in path:
                return path[path.index(rank) :]
            elif rank not in done:
                path.append(rank)
                ways.append(iter(waits[rank]))
    return []


def kind(call: CallRow) -> tuple[str, int]:
    """Return what has to be equal on all members."""
    if call.peer >= 0:
        return "message", call.num_bytes
    return call.name, call.num_elements if call.name in SAME_SIZES else 0


def named(call: CallRow) -> str:
    """Name an exchange, with the other side of a message, or its group where that is not of all."""
    if call.peer >= 0:
        return f"{call.name} {'to' if call.name == 'send' else 'from'} rank {call.peer}"
    is_of_all = call.queue in ("", ALL, call.name)
    return call.name if is_of_all else f"{call.name} in group {call.queue}"


def first_difference(calls: Calls) -> list[tuple[int, CallRow]]:
    """Return the first turn of a queue that its members entered otherwise, if one stands in it.

    What came before it in the queue was the same, as far as the logs reach.
    """
    stand = {rank: standing(own) for rank, own in calls.items()}
    asked = {call.queue for call in stand.values() if call is not None and call.turn}
    for queue in sorted(asked):
        by_turn: dict[int, list[tuple[int, CallRow]]] = {}
        for rank, own in calls.items():
            for call in own:
                if call.queue == queue and not call.is_wait:
                    by_turn.setdefault(call.turn, []).append((rank, call))
        for turn, sides in sorted(by_turn.items()):
            if len({kind(call) for _, call in sides}) > 1:
                stuck = [call for call in stand.values() if call is not None]
                if any((call.queue, call.turn) == (queue, turn) for call in stuck):
                    return sides
                break
    return []
