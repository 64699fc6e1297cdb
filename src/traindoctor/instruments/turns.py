"""Gives each exchange its turn: which queue it stands in, and who has to enter it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from traindoctor.trace import CallRow, Place


class Turns:
    """Counts the turns of each queue as this process takes them.

    Attributes:
        num_joined: contexts of `Join` that it is in: there ranks without a batch answer for the
            collectives of the others by themselves.
    """

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.num_joined = 0
        self._members: dict[str, tuple[int, ...]] = {}

    def collective(
        self, name: str, group: Any, place: Place, *, elements: int = 0, size: int = 0
    ) -> CallRow:
        """Return the next turn of a group's collectives; None for the group of all."""
        import torch.distributed as dist

        group = dist.group.WORLD if group is None else group
        if group is None:  # there are no groups yet
            return CallRow(name=name, place=place)
        queue = str(group.group_name)
        return self._next(name, queue, place, self._of(group), elements=elements, size=size)

    def first(self, name: str, place: Place, world_size: int) -> CallRow:
        """Return the turn of what all processes enter before there are groups."""
        return self._next(name, name, place, tuple(range(world_size)))

    def message(self, name: str, group: Any, peer: int, tag: int, row: CallRow) -> CallRow:
        """Return the next turn of the messages from one to another; `peer` counts in the group."""
        import torch.distributed as dist

        members, own = self._of(group), dist.get_rank()
        other = members[peer]
        ends = (own, other) if name == "send" else (other, own)
        queue = f"{group.group_name}:{ends[0]}>{ends[1]}" + (f"#{tag}" if tag else "")
        return self._next(
            name,
            queue,
            row.place,
            ends,
            elements=row.num_elements,
            size=row.num_bytes,
            peer=other,
        )

    def _next(
        self,
        name: str,
        queue: str,
        place: Place,
        members: tuple[int, ...],
        *,
        elements: int = 0,
        size: int = 0,
        peer: int = -1,
    ) -> CallRow:
        if self.num_joined:
            queue, members = "", ()
        else:
            self.taken[queue] += 1
        return CallRow(
            name=name,
            place=place,
            num_elements=elements,
            num_bytes=size,
            queue=queue,
            turn=self.taken[queue],
            members=members,
            peer=peer,
        )

    def _of(self, group: Any) -> tuple[int, ...]:
        import torch.distributed as dist

        name = str(group.group_name)
        if name not in self._members:
            self._members[name] = tuple(dist.get_process_group_ranks(group))
        return self._members[name]
