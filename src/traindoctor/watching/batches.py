"""Takes in the batches that a watched script fetches, and knows what became of the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traindoctor.instruments.one_pass import Pass
    from traindoctor.watching.session import Session

MOST_LOST = 1000  # batches without a backward pass that are told apart


class Batches:
    """What the instrument on loaders tells.

    Attributes:
        has_loader: a loader gave something.
        reached: the last batch that was differentiated.
        stepped: the last that an optimizer stepped on.
        evaluated: the last that was looked at without gradients.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.has_loader = False
        self.reached = self.stepped = self.evaluated = -1
        self._left: list[int] = []

    def asked(self) -> None:
        """Take in that the script asks a loader for a batch: what it did with the last is done."""
        session = self.session
        batch = session.recorder.batch
        is_done = batch in (-1, self.reached, self.evaluated, *self._left[-1:])
        if self.has_loader and not is_done and len(self._left) < MOST_LOST:
            self._left.append(batch)
        if session.opening is not None:
            session.safely(session.boundary)
        elif session.later.opening is not None:
            session.safely(session.later.batch_asked)

    def given(self, on: Pass, seconds: float) -> None:
        """Take in what a pass over a loader gave."""
        session = self.session
        if not session.is_ours():
            return
        self.has_loader = True
        if on.is_evaluation:
            self.evaluated = session.recorder.batch
        else:
            session.later.batch_given()
            begins = on.num_batches == 1
            session.meter.batch(on.size, seconds, begins=begins, is_new=on.is_new)

    def lost(self) -> tuple[int, ...]:
        """Return the batches that were left; the last one, too, where none was differentiated."""
        last = self.session.recorder.batch
        is_left = self.has_loader and self.reached == -1 and last not in (-1, self.evaluated)
        return tuple(dict.fromkeys((*self._left, *([last] if is_left else []))))
