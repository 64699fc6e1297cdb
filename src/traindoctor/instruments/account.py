"""What became of one optimizer's gradients since its last step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter, is_, is_not
from typing import Any
from weakref import ref

from traindoctor.instruments.recorder import here
from traindoctor.trace import HandlingRow, Place

SAMPLES = 4  # parameters that stand for all of an optimizer: the smallest, for they are kept alive
MOST_WINDOWS = 32

Stamps = tuple[list[Any], list[int]]
"""Weak references to the gradients of the samples, and torch's count of writes to each."""

NO_STAMPS: Stamps = ([], [])
_gradient_of, _version_of = attrgetter("grad"), attrgetter("_version")


class Account:
    """One optimizer as those know it who handle gradients. Values are never read."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = ref(optimizer)
        self.class_name = type(optimizer).__name__
        self.number: int | None = None  # once it has stepped
        self.num_steps = self.num_attempts = self.num_closures = 0
        self.windows: Counter[int] = Counter()
        self.num_unguarded = 0
        self.infinite: Any = 0.0  # steps on what a scaler had found infinite; a tensor once seen
        self.found: Any = 0.0  # whether it did so before the step to come
        self.num_late = self.num_scaled = self.num_shrunk = self.num_clipped = 0
        self.place = self.backward_place = self.scale_place = Place()
        self.samples: Sequence[Any] = ()
        self.before = NO_STAMPS  # a backward pass
        self.written = NO_STAMPS  # by the last backward pass, and by what is known since
        self.used = NO_STAMPS  # by the last step
        self.step_sequence = self.backward_sequence = -1  # autograd's count of operations then
        self.batch = -1  # in which it stepped last
        self.num_before = 0  # backward passes before the step that runs now
        self._reset()
        self.choose()

    def _reset(self) -> None:
        self.num_backwards = self.num_scaled_backwards = 0
        self.is_unscaled = self.is_clipped = False

    def choose(self) -> None:
        """Choose the samples anew, if none of them has a gradient."""
        if any(p.grad is not None for p in self.samples):
            return
        optimizer = self.optimizer()
        groups = optimizer.param_groups if optimizer is not None else ()
        held = [p for group in groups for p in group["params"]]
        filled = [p for p in held if p.grad is not None]
        by_size = sorted(filled or [p for p in held if p.requires_grad], key=lambda p: p.numel())
        chosen = by_size[:SAMPLES]
        if [*map(id, chosen)] != [*map(id, self.samples)]:
            self.samples, self.used, self.written = chosen, NO_STAMPS, NO_STAMPS

    def stamps(self) -> Stamps:
        """Return the samples' gradients as they are now."""
        gradients = [*map(_gradient_of, self.samples)]
        num_filled = sum(map(is_not, gradients, repeat(None)))
        if num_filled == len(gradients):  # the two usual cases, in few instructions
            return [*map(ref, gradients)], [*map(_version_of, gradients)]
        if not num_filled:
            return [None] * len(gradients), [-1] * len(gradients)
        pairs = [(None, -1) if g is None else (ref(g), g._version) for g in gradients]
        return [reference for reference, _ in pairs], [count for _, count in pairs]

    def are_used(self, now: Stamps) -> bool:
        """Tell whether nothing was written to the gradients since a step used them."""
        return self.used is not NO_STAMPS and _present(now) and same(now, self.used)

    def are_scaled(self) -> bool:
        """Tell whether the gradients are of scaled losses, as their backward passes left them."""
        only_scaled = 0 < self.num_backwards == self.num_scaled_backwards
        return only_scaled and not self.is_unscaled and same(self.stamps(), self.written)

    def begins_backward(self) -> None:
        """Take in that a backward pass begins, of whatever loss."""
        self.before = self.stamps()

    def ends_backward(self, made: int, now: int, scale_place: Place | None) -> None:
        """Take in that it is over.

        Args:
            made: autograd's count of operations when the loss was made.
            now: that count now.
            scale_place: where a scaler scaled the loss; None where none did.
        """
        after = self.stamps()
        if same(after, self.before):
            return  # it had to do with other parameters
        if self.backward_sequence <= made < self.step_sequence:
            if not self.num_late:
                self.backward_place = here()
            self.num_late += 1
        elif not self.backward_place:
            self.backward_place = here()
        self.backward_sequence = now
        self.num_backwards += 1
        if scale_place is not None:
            self.num_scaled_backwards += 1
            self.scale_place = scale_place
        self.is_unscaled = self.is_clipped = False
        self.written = after

    def begins_step(self, is_passed_on: bool, batch: int) -> None:
        """Take in that a step begins; `is_passed_on` by a scaler."""
        self.choose()
        self.num_scaled += not is_passed_on and self.are_scaled()
        if self.is_unscaled and not is_passed_on:
            self.num_unguarded += 1
            self.infinite = self.infinite + self.found
        self.num_attempts += 1
        self.batch, self.num_before = batch, self.num_backwards

    def ends_step(self, now: int) -> None:
        """Take in that a step was taken; `now` is autograd's count of operations."""
        self.num_steps += 1
        self.num_clipped += self.is_clipped
        self.num_closures += self.num_backwards > self.num_before
        self._ends_window()
        self.step_sequence = now
        self.used = self.stamps()

    def is_plain(self, least: int) -> bool:
        """Tell whether each of at least so many steps came after one backward pass, in order."""
        is_odd = len(self.windows) > 1 or self.num_late or self.num_closures
        return not is_odd and self.windows[1] >= least

    def resumes(self, now: int) -> None:
        """Take in that a step was taken, after others that were not followed."""
        self._reset()
        self.step_sequence, self.used = now, self.stamps()

    def forget(self) -> None:
        """Know no more what became of the gradients that are there now."""
        self._reset()
        self.used = self.written = NO_STAMPS

    def skips_step(self, batch: int) -> None:
        """Take in that a scaler has skipped a step."""
        self.num_attempts += 1
        self.batch = batch
        self._ends_window()

    def _ends_window(self) -> None:
        number = self.num_backwards
        if number and (number in self.windows or len(self.windows) < MOST_WINDOWS):
            self.windows[number] += 1
        self._reset()

    def row(self) -> HandlingRow | None:
        """Return the sums; None before its first step."""
        if self.number is None:
            return None
        return HandlingRow(
            optimizer=self.number,
            class_name=self.class_name,
            num_steps=self.num_steps,
            num_attempts=self.num_attempts,
            windows=tuple(sorted(self.windows.items())),
            num_closures=self.num_closures,
            num_late=self.num_late,
            num_scaled=self.num_scaled,
            num_shrunk=self.num_shrunk,
            num_unguarded=self.num_unguarded,
            num_infinite=int(self.infinite),
            num_clipped=self.num_clipped,
            place=self.place,
            backward_place=self.backward_place,
            scale_place=self.scale_place,
        )


def same(a: Stamps, b: Stamps) -> bool:
    """Tell whether these are the same gradients, written to as often."""
    return a[1] == b[1] and all(map(is_, a[0], b[0]))


def _present(stamps: Stamps) -> bool:
    return any(reference is not None for reference in stamps[0])
