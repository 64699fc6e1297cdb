"""Says at once which of several processes hangs in an exchange with the others, or was lost.

Two things are told. Processes that wait for one another, or for one that has ended, never go on:
that is told within seconds. A process that waits for one that is busy elsewhere is told of only
when that one has done nothing for long: it may write a checkpoint, evaluate or compile. Either way
the line says what is measured, and makes no finding: the report does, when the run has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from traindoctor.errors import TargetError, told
from traindoctor.instruments.call_log import Logged, Whereabouts
from traindoctor.trace import CallRow, Place
from traindoctor.trace.storage import StoredTraces
from traindoctor.trace.waits import circle, first_difference, missing, named
from traindoctor.watching.meeting import calls_beside, raised_in, traces_beside
from traindoctor.watching.record import RUN

LOOK_SECONDS = 1.0
SURE_SECONDS = 2.0  # in an exchange, before a look takes it for one that lasts
IDLE_SECONDS, LONGEST = 60.0, 3.0  # without a sign of life; times what a rank has waited before
STALE_SECONDS = 5.0  # a process that does not say where it is may be anywhere
INTERRUPTED = (130, -2)
MOST_NAMED = 4  # ranks in one line


@dataclass(frozen=True, slots=True)
class Seen:
    """One process as it was at a look.

    Attributes:
        trace: its file.
        about: what it says of itself.
        calls: its exchanges, none where some are not known.
        last: the last of them.
        call: the one that it is in, and for how many seconds.
        is_alive: its process is there.
    """

    trace: Path
    about: Whereabouts
    calls: Sequence[CallRow]
    last: CallRow | None
    call: CallRow | None
    seconds: float
    is_alive: bool

    @property
    def rank(self) -> int:
        """Which it is among all."""
        return self.about.rank


class Lookout:
    """Looks at what the processes of this machine have entered, once a second.

    Args:
        first: the trace of the first process.
        say: takes a line.
        is_alive: tells whether there is a process of a number.
        clock: seconds on the machine's own clock.
    """

    def __init__(
        self,
        first: Path,
        say: Callable[[str], None],
        is_alive: Callable[[int], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.first, self.say, self.clock = first, say, clock
        self.is_alive = is_alive or is_running
        self.due = float("-inf")
        self.processes: tuple[int, ...] = ()  # that were alive at the last look
        self.is_coming_down = False  # one is lost, and the others will follow
        self.told: dict[int, int] = {}  # ranks that hang, and the number of the call
        self.trouble = ""  # why nobody looks any more

    def look(self) -> None:
        """Say what is to be said, if it is time for a look.

        Whatever fails of that ends the looking, never the run.
        """
        try:
            self._look()
        except Exception as error:
            self.is_coming_down = True
            self.trouble = told(error)

    def _look(self) -> None:
        now = self.clock()
        are_there = all(map(self.is_alive, self.processes))
        if self.is_coming_down or (now < self.due and are_there):
            return
        self.due = now + LOOK_SECONDS
        paths = [self.first, *traces_beside(self.first)]
        seen = [one for path in paths if (one := self._seen(path, now)) is not None]
        self.processes = tuple(one.about.process for one in seen if one.is_alive)
        if len(seen) < 2 or self._tell_lost(seen):
            return
        self._tell_gone_on(seen)
        if not self.told:
            self._tell_hung(seen, now)

    def _seen(self, trace: Path, now: float) -> Seen | None:
        logged = Logged(calls_beside(trace))
        if logged.about is None:
            return None
        call = logged.last()
        is_alive = self.is_alive(logged.about.process)
        is_in = call is not None and call.state == "entered" and is_alive
        seconds = now - call.entered_at if call is not None and is_in else 0.0
        calls = logged.calls() if seconds > SURE_SECONDS or not is_alive else ()
        return Seen(
            trace=trace,
            about=logged.about,
            calls=calls,
            last=call,
            call=call if is_in else None,
            seconds=seconds,
            is_alive=is_alive,
        )

    def _tell_lost(self, seen: Sequence[Seen]) -> bool:
        """Say which process was lost first; those that go down with it are not told."""
        statuses = {one.rank: _status(one.trace) for one in seen if not one.is_alive}
        lost = [one for one in seen if statuses.get(one.rank, 0) != 0]
        if not lost:
            return False
        self.is_coming_down = True
        # Who raised in an exchange did so because the other side was gone.
        causes = [one for one in lost if one.last is None or one.last.state != "raised"] or lost
        causes = [one for one in causes if statuses[one.rank]] or causes
        if not any(statuses[one.rank] in INTERRUPTED for one in lost):
            for one in causes[:1]:
                self.say(f"rank {one.rank} is lost: {raised_in(one.trace) or gone(one)}")
        return True

    def _tell_hung(self, seen: Sequence[Seen], now: float) -> None:
        stuck = [one for one in seen if one.call is not None and one.seconds > SURE_SECONDS]
        if not stuck:
            return
        calls = {one.rank: one.calls for one in seen if one.calls}
        ended = [one for one in seen if not one.is_alive]
        lasting = {one.rank: one.calls for one in stuck if one.calls}
        sides = first_difference(lasting)
        ranks = [rank for rank, _ in sides] or circle(lasting)
        if ranks:
            named = [one for one in stuck if one.rank in ranks]
            self._tell(named, "ranks wait for one another: " + "; ".join(map(been, named)))
            return
        for one in stuck:
            gone = [e for e in ended if one.call and e.rank in missing(one.call, calls)]
            if gone:
                names = ranks_of(gone)
                has = "which has" if len(gone) == 1 else "which have"
                self._tell([one], f"{been(one)}; it waits for {names}, {has} ended")
                return
        self._tell_idle(seen, stuck, now)

    def _tell_idle(self, seen: Sequence[Seen], stuck: Sequence[Seen], now: float) -> None:
        """Say who waits, if all that others may wait for have done nothing for long."""
        limit = max(IDLE_SECONDS, LONGEST * max(one.about.longest for one in seen))
        longest = max(stuck, key=lambda one: one.seconds)
        members = longest.call.members if longest.call is not None else ()
        if longest.seconds < limit or not set(members) <= {one.rank for one in seen}:
            return
        if any(idle(one, now) < limit for one in seen if one.is_alive):
            return
        others = [one for one in seen if one is not longest and one.is_alive]
        told = "; ".join(been(one) for one in others[:MOST_NAMED])
        more = len(others) - MOST_NAMED
        and_more = f"; and {more} more" if more > 0 else ""
        self._tell(
            [longest],
            f"{been(longest)}; {told}{and_more}. None of them has done anything for {limit:.0f} s",
        )

    def _tell(self, stuck: Sequence[Seen], text: str) -> None:
        self.told = {one.rank: one.call.number for one in stuck if one.call is not None}
        self.say(text)

    def _tell_gone_on(self, seen: Sequence[Seen]) -> None:
        """Take back what was told of ranks that have gone on."""
        for one in seen:
            number = self.told.get(one.rank)
            if number is None or not one.is_alive:
                continue
            if one.call is None or one.call.number != number:
                self.told.clear()
                self.say(f"rank {one.rank} has gone on")
                return


def been(one: Seen) -> str:
    """Say where a process has been, and for how long."""
    if one.call is None:
        return f"rank {one.rank} has been{place(one.about.place) or ' elsewhere'}"
    call = one.call
    return f"rank {one.rank} has been in {named(call)}{place(call.place)} for {one.seconds:.0f} s"


def gone(one: Seen) -> str:
    """Say where a process was that has ended without a word."""
    last = one.last
    if last is not None and last.state == "entered":
        return f"its process is gone; it was in {named(last)}{place(last.place)}"
    return f"its process is gone; it was last seen{place(one.about.place)}"


def idle(one: Seen, now: float) -> float:
    """Return for how many seconds a process is known to have done nothing."""
    about = one.about
    return now - about.active_at if now - about.seen_at < STALE_SECONDS else 0.0


def ranks_of(seen: Sequence[Seen]) -> str:
    """Name ranks briefly."""
    numbers = [str(one.rank) for one in seen[:MOST_NAMED]]
    more = len(seen) - MOST_NAMED
    word = "rank" if len(seen) == 1 else "ranks"
    return f"{word} {', '.join(numbers)}" + (f" and {more} more" if more > 0 else "")


def place(where: Place) -> str:
    """Return ` at FILE:LINE`."""
    return f" at {where.file}:{where.line}" if where.file else ""


def is_running(process: int) -> bool:
    """Tell whether there is a process of a number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _status(trace: Path) -> int | None:
    try:
        status: int | None = StoredTraces(trace).facts(RUN).get("status")
    except TargetError:
        return None
    return status
