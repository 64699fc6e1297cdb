"""Hears what the script's own handlers catch, and keeps our frames out of it."""

from __future__ import annotations

from types import FrameType
from typing import TYPE_CHECKING

from traindoctor.instruments.handled import HandledWatch
from traindoctor.watching.script import without_us

if TYPE_CHECKING:
    from traindoctor.watching.session import Session


class Caught(HandledWatch):
    """Takes our own frames out of what a handler of the script's is about to see."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.recorder)
        self.session = session

    def where(self) -> tuple[int, bool]:
        """Return the batch in use, and whether it was differentiated and not stepped on."""
        batch, session = self.recorder.batch, self.session
        return batch, session.batches.reached == batch and session.batches.stepped != batch

    def caught(self, frame: FrameType, error: BaseException) -> None:
        """Take in an exception, the traceback of which the handler may look at."""
        error.__traceback__ = without_us(error.__traceback__)
        super().caught(frame, error)
