"""Keeps the account of passes over loaders: batches, time, repeats, and what was trained on."""

from __future__ import annotations

import hashlib
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from traindoctor.instruments.one_pass import Loader, Pass
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import batch_size, describe
from traindoctor.target.fingerprints import fingerprint, leading_size
from traindoctor.target.loaders import loader_row, told_epoch
from traindoctor.trace import BatchRow, LoaderRow, PassRow, Place

MOST_FULL = 32  # batches that are described before that is thinned out
MOST_SECONDS = 0.5  # spent on describing before it is
RATIO = 1.25  # the next one to be described is so many times as late as the last
MOST_PASSES = 32  # that are kept of the first, and of the last
MOST_LOADERS = 64
MOST_DIGESTS = 32  # of a pass
WHOLE_PASSES, FEW_DIGESTS = 3, 3  # passes of a loader before only so many batches are compared
EVERY = 16  # later batches of a pass of which two are compared
MOST_WAITING = 64  # passes that no backward pass came after yet
MOST_AHEAD = 256  # batches fetched before they are used


class Passes:
    """All passes over all loaders of a run, in constant memory.

    Sets `recorder.batch` to the number of the batch that is in use, and adds rows to
    `recorder.batches`: all of the first batches, later ones ever more rarely. Batches of a pass in
    which nothing is differentiated, while something is in others, are evaluated on: they have no
    row once that is known.

    Args:
        recorder: takes batches and their number.
        keeps_all: describe every batch, and take none for evaluation; for short experiments.
        is_light: count batches, and do not look at their tensors.
        places: says where the user's code built a loader.
    """

    def __init__(
        self,
        recorder: Recorder,
        keeps_all: bool = False,
        places: Callable[[Any], Place] = lambda loader: Place(),  # noqa: ARG005
        is_light: bool = False,
    ) -> None:
        self.recorder, self.keeps_all, self.places = recorder, keeps_all, places
        self.is_light = is_light
        # Of all batches that are not known to be evaluated on.
        self.num_fetched, self.fetch_seconds = 0, 0.0
        self.num_samples: int | None = 0
        self.loaders: list[Loader] = []
        self.first: list[Pass] = []
        self.later: deque[Pass] = deque(maxlen=MOST_PASSES)
        self._num = 0
        self._number = 0  # of the next batch
        self._next_row = 0  # number of the next batch to be described after the first ones
        self._describe_seconds = 0.0
        self._waiting: list[Pass] = []  # with batches that no backward pass came after yet
        self._num_passes = recorder.num_passes
        self._in_use: Pass | None = None
        recorder.after_backward.append(self._next_in_bulk)

    def begin(self, loader: Any, place: Place, is_by_user: bool = True) -> Pass:
        """Begin a pass over a loader."""
        self._settle()
        known, is_new = self._loader(loader)
        now = self.recorder.clock()
        new = Pass(self._num, known, known.num_passes, place, is_by_user, is_new, now)
        new.last = now
        new.sampler_epoch = told_epoch(loader) if known.row.needs_epoch else None
        self._num += 1
        known.num_passes += 1
        known.num_open += 1
        if len(self.first) < MOST_PASSES:
            self.first.append(new)
        else:
            self.later.append(new)
        return new

    def fetched(self, on: Pass, batch: Any, seconds: float, is_grad_enabled: bool = True) -> None:
        """Take in a batch that a pass gave after so many seconds."""
        self._settle()
        if not on.num_batches:
            on.first_seconds = seconds
            if not self.keeps_all and (on.loader.evaluates or not is_grad_enabled):
                self._set_evaluation(on, True)
        if not self.is_light:
            self._compare(on, batch)
        size = on.size = leading_size(batch)
        on.num_samples = _sum(on.num_samples, size)
        on.num_batches += 1
        on.fetch_seconds += seconds
        on.last = self.recorder.clock()
        self._wait(on)
        if on.is_evaluation:
            return
        self.num_fetched += 1
        self.fetch_seconds += seconds
        self.num_samples = _sum(self.num_samples, size)
        on.loader.num_fetched += 1
        on.loader.fetch_seconds += seconds
        number, self._number = self._number, self._number + 1
        on.last_batch = number
        self._use(on, number)
        self._describe(on, batch, number, seconds)

    def over(self, on: Pass, is_cut: bool = False) -> None:
        """Take in that a pass came to its end: the loader's, or an experiment's before that."""
        self._settle()
        if not on.is_over:
            on.loader.num_open -= 1
            on.loader.num_ended += not is_cut
            on.has_ended, on.is_cut = not is_cut, is_cut
        on.last = self.recorder.clock()
        if on.lag and on.unused:  # the last batch is still to be used
            self._wait(on)
            self.recorder.batch = on.unused[0 if on.is_bulk else -1]
        self._go_back(on)

    def left(self, on: Pass) -> None:
        """Take in that a pass is given up."""
        self._settle()
        if not on.is_over:
            on.loader.num_open -= 1
            on.is_left = True
            self._go_back(on)

    def asked(self, on: Pass, place: Place) -> None:
        """Take in that somebody asked for more of a pass that is over."""
        on.num_asked += 1
        on.asked_place = on.asked_place or place

    def rows(self) -> tuple[tuple[LoaderRow, ...], tuple[PassRow, ...]]:
        """Return loaders and passes as they stand now."""
        self._settle()
        loaders = tuple(known.as_it_stands() for known in self.loaders)
        return loaders, tuple(one.row() for one in self._kept())

    def finish(self) -> None:
        """Put loaders and passes into the recorder, and judge what nothing was trained on."""
        self._settle()
        if any(known.num_trained for known in self.loaders):
            for one in self._waiting:
                self._judge(one)
        if self._next_in_bulk in self.recorder.after_backward:
            self.recorder.after_backward.remove(self._next_in_bulk)
        self.write()

    def write(self) -> None:
        """Put loaders and passes into the recorder, as they stand now."""
        loaders, passes = self.rows()
        self.recorder.loaders[:], self.recorder.passes[:] = loaders, passes

    def loader_in_use(self) -> Any:
        """Return the loader whose batch is in use, or None."""
        return None if self._in_use is None else self._in_use.loader.refers()

    def _kept(self) -> Iterator[Pass]:
        yield from self.first
        yield from self.later

    def _loader(self, loader: Any) -> tuple[Loader, bool]:
        """Return what is known of a loader, or of a dead one built alike, and whether it is new."""
        for known in self.loaders:
            if known.refers() is loader:
                return known, False
        row = loader_row(loader, len(self.loaders), self.places(loader))
        refers = _reference(loader)
        for known in self.loaders:
            is_gone = known.refers() is None and not known.num_open
            if is_gone and replace(known.row, index=row.index) == row:
                known.refers = refers
                return known, True
        if len(self.loaders) >= MOST_LOADERS:
            return self.loaders[-1], True
        self.loaders.append(Loader(row, refers))
        return self.loaders[-1], True

    def _settle(self) -> None:
        """Credit the backward passes since last time to the passes whose batches led to them."""
        number = self.recorder.num_passes - self._num_passes
        self._num_passes = self.recorder.num_passes
        if number <= 0 or not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for one in _leading(waiting):
            one.num_trained += number
            one.loader.num_trained += number
            self._set_evaluation(one, False)
        for one in waiting:
            self._judge(one)

    def _wait(self, on: Pass) -> None:
        if on not in self._waiting:
            self._waiting.append(on)
            del self._waiting[:-MOST_WAITING]

    def _go_back(self, on: Pass) -> None:
        """Go back to the batch that was in use before a pass that was read in between."""
        others = [one for one in self._waiting if not one.is_over and one.unused]
        if not on.num_trained and others:
            self._in_use = others[-1]
            self.recorder.batch = others[-1].unused[0]

    def _judge(self, one: Pass) -> None:
        if one.is_over and not one.num_trained and not self.keeps_all:
            self._set_evaluation(one, True)

    def _set_evaluation(self, one: Pass, value: bool) -> None:
        if one.is_evaluation == value:
            return
        one.is_evaluation = value
        known, sign = one.loader, 1 if value else -1
        known.num_evaluations += sign
        known.num_fetched -= sign * one.num_batches
        known.num_repeats -= sign * one.num_repeats
        known.fetch_seconds -= sign * one.fetch_seconds
        if value:
            rows, own = self.recorder.batches, (known.row.index, one.number)
            rows[:] = [row for row in rows if (row.loader, row.epoch) != own]

    def _compare(self, on: Pass, batch: Any) -> None:
        """Compare a batch with the one before it, and add it to the order of its pass.

        Each of the first batches of a loader's first passes; later two in a row, now and then.
        """
        num_first = MOST_DIGESTS if self.keeps_all or on.number < WHOLE_PASSES else FEW_DIGESTS
        if on.num_batches >= num_first and on.num_batches % EVERY > 1:
            on.last_digest = on.loader.last_digest = ""
            return
        digest = fingerprint(batch)
        on.num_compared += bool(digest and on.last_digest)
        on.num_repeats += bool(digest) and digest == on.last_digest
        if digest and digest == on.loader.last_digest and not on.is_evaluation:
            on.loader.num_repeats += 1
        on.last_digest = on.loader.last_digest = digest
        on.order = hashlib.blake2b(f"{on.order}{digest}".encode(), digest_size=8).hexdigest()
        if len(on.digests) < MOST_DIGESTS:
            on.digests.append(digest)

    def _use(self, on: Pass, number: int) -> None:
        """Say which batch is in use now that another one was fetched."""
        on.unused.append(number)
        most = MOST_AHEAD if on.is_bulk else on.lag + 1
        while len(on.unused) > most:
            on.unused.popleft()
        self._in_use = on
        self.recorder.batch = on.unused[0]

    def _next_in_bulk(self) -> None:
        """Go on to the next batch of those that were fetched at once."""
        on = self._in_use
        if on is not None and on.is_bulk and on.unused:
            used = on.unused.popleft()
            self.recorder.batch = on.unused[0] if on.unused else used

    def _describe(self, on: Pass, batch: Any, number: int, seconds: float) -> None:
        """Add a batch's row, if it is one of the first or its turn has come."""
        rows, clock = self.recorder.batches, self.recorder.clock
        if self.is_light:
            size = batch_size(batch)
            rows.append(BatchRow(index=number, epoch=on.number, size=size, fetch_seconds=seconds))
            return
        is_early = len(rows) < MOST_FULL and self._describe_seconds < MOST_SECONDS
        if not (self.keeps_all or is_early or number >= self._next_row):
            return
        self._next_row = max(number + 1, int(number * RATIO))
        start = clock()
        row = describe(batch, number, on.number, seconds, only_host=not self.keeps_all)
        rows.append(replace(row, loader=on.loader.row.index))
        self._describe_seconds += clock() - start


def _leading(waiting: list[Pass]) -> list[Pass]:
    """Return the passes that led to a backward pass, of those with batches from before it.

    Rather those that were read with gradients on than those without; and rather what is still
    being read than what was read in between, to its end.
    """
    if len(waiting) == 1:
        return waiting
    waiting = [one for one in waiting if not one.is_evaluation] or waiting
    return (
        [one for one in waiting if not one.is_over]
        or [one for one in waiting if not one.has_ended]
        or waiting
    )


def _sum(total: int | None, more: int | None) -> int | None:
    """Return the sum, which is unknown as soon as one summand is."""
    return None if total is None or more is None else total + more


def _reference(loader: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(loader)
    except TypeError:  # a list has no room for one, and is nobody's to keep alive but a setup's
        return lambda: loader
