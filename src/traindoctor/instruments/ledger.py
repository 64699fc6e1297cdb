"""Follows gradients from the backward pass that fills them to the step that uses them."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field


@dataclass(slots=True)
class Ledger:
    """Which gradients wait for a step, which were never cleared, which were cleared unused.

    Parameters are known by `id`; a gradient counts as present where it is there and not all
    zero. Whoever sees backward passes and steps reports them, with what is present around them.
    """

    num_backwards: int = 0
    discarded: list[int] = field(default_factory=list)  # backward passes that no step used
    # What each backward pass left, until a step uses it or someone clears it.
    waiting: dict[int, Set[int]] = field(default_factory=dict)
    # By optimizer: what its last step used and nobody has been seen to clear since.
    uncleared: dict[int, Set[int]] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)  # backward passes before its last step
    open_steps: int = 0

    def backward_begins(self, present: Set[int]) -> None:
        """Take in what is present just before a backward pass."""
        for index in [key for key, left in self.waiting.items() if not left & present]:
            self.discarded.append(index)
            del self.waiting[index]
        self.uncleared = {key: left & present for key, left in self.uncleared.items()}

    def backward_ends(self, present: Set[int]) -> None:
        """Take in what is present after it. Inside a step (a closure) it is used at once."""
        if present and not self.open_steps:
            self.waiting[self.num_backwards] = present
        self.num_backwards += 1

    def step_begins(
        self, optimizer: int, held: Set[int], present: Set[int]
    ) -> tuple[int, int, int]:
        """Take in a step: what its optimizer holds, and what of that is present.

        Returns:
            How many of its gradients are still there from its last step, although a backward
            pass came in between; how many a backward pass filled that are empty again; and how
            many are still there from another optimizer's step. A step within a step, of a wrapper's
            inner optimizer, is one with it.
        """
        due = {key for left in self.waiting.values() for key in left} & held
        came_anew = self.num_backwards > self.seen.get(optimizer, 0)
        stale = self.uncleared.get(optimizer, frozenset()) & present if came_anew else frozenset()
        others = {
            key for other in self.uncleared.keys() - {optimizer} for key in self.uncleared[other]
        }
        reused = set() if self.open_steps else others & present
        self.waiting = {key: left for key, left in self.waiting.items() if not left & present}
        self.uncleared[optimizer] = present
        self.seen[optimizer] = self.num_backwards
        self.open_steps += 1
        return len(stale), len(due - present), len(reused)

    def step_ends(self) -> None:
        """Take in the end of a step."""
        self.open_steps -= 1
