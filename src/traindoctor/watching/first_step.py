"""Sees every operation of a watched run's first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traindoctor.instruments.criteria import Criteria
from traindoctor.instruments.finite import FirstNonFinite
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.inplace import InPlace
from traindoctor.watching.listening import Listening, cautious

if TYPE_CHECKING:
    from traindoctor.watching.opening import Opening


class FirstStep(Listening):
    """What is heard of the first step's operations."""

    def __init__(self, opening: Opening) -> None:
        recorder, names, trainable = opening.recorder, opening.names, opening.trainable
        self.criteria, self.writes = Criteria(recorder), InPlace(recorder)
        self.non_finite = FirstNonFinite(recorder)
        listeners = (self.criteria, self.writes, cautious(self.non_finite))
        super().__init__(Flow(recorder, names, trainable, listeners))
