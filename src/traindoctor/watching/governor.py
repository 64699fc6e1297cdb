"""Keeps what watching costs within its budget, and knows what it cost."""

from __future__ import annotations

from collections.abc import Callable


class Governor:
    """Adds up the time that instruments take, and says when the expensive ones may be used.

    The opening is not counted against the budget, for it is a constant number of steps; it is
    counted in what is reported.

    Args:
        budget: share of the run's time.
        clock: seconds.
    """

    def __init__(self, budget: float, clock: Callable[[], float]) -> None:
        self.budget, self.clock = budget, clock
        self.seconds = 0.0  # taken by instruments, all in all
        self.num_steps = 0
        self.began = clock()
        self.opening_seconds: float | None = None  # the instruments' part of the opening
        self.light_began: float | None = None
        self.num_opening_steps = 0
        self._costs: dict[str, float] = {}

    def spent(self, start: float) -> None:
        """Add the time since `start`."""
        self.seconds += self.clock() - start

    def stepped(self) -> None:
        """Take in that a step is over."""
        self.num_steps += 1

    def begin(self) -> None:
        """Take in that the opening is over: from here on the budget counts."""
        self.opening_seconds, self.light_began = self.seconds, self.clock()
        self.num_opening_steps = self.num_steps

    def excuse(self, seconds: float) -> None:
        """Take so many of the seconds that were spent for a part of the opening."""
        if self.opening_seconds is not None:
            self.opening_seconds += seconds

    def may(self, what: str) -> bool:
        """Tell whether the budget has room for one more of something."""
        if self.light_began is None or self.opening_seconds is None:
            return True
        elapsed = self.clock() - self.light_began
        used = self.seconds - self.opening_seconds
        return used + self._costs.get(what, 0.0) <= self.budget * elapsed

    def cost(self, what: str, seconds: float) -> None:
        """Learn what something costs."""
        before = self._costs.get(what, seconds)
        self._costs[what] = 0.8 * before + 0.2 * seconds

    def facts(self) -> dict[str, float | int | None]:
        """Return what watching cost: shares of the time in which it was measured."""
        now = self.clock()
        light, used = None, None
        if self.light_began is not None and self.opening_seconds is not None:
            light = now - self.light_began
            used = self.seconds - self.opening_seconds
        return {
            "budget": self.budget,
            "seconds": self.seconds,
            "run_seconds": now - self.began,
            "steps": self.num_steps,
            "opening_steps": self.num_opening_steps if light is not None else self.num_steps,
            "share": used / light if light and used is not None else None,
        }
