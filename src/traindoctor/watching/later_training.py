"""Answers a probe's experiments about a training that was not the first of a watched run."""

from __future__ import annotations

from traindoctor.instruments.unheld import FACT as UNHELD
from traindoctor.trace import Place, Trace
from traindoctor.watching.archive import Archive
from traindoctor.watching.later import trace_name
from traindoctor.watching.record import CLOSELY, OPENING, RUN, SOURCE
from traindoctor.watching.recorded import Recorded


class LaterTraining(Recorded):
    """The first steps of another training of the same run.

    What is recorded all along is judged with the whole run; here is what was seen closely.

    Args:
        archive: of the run.
        number: of the training, after the first.
        step: how many steps the run had taken before it.
    """

    def __init__(self, archive: Archive, number: int, step: int) -> None:
        self.number, self.step = number, step
        traces = {name: archive.stored.trace(trace_name(number, name)) for name in CLOSELY}
        opening, unheld = traces[OPENING] or Trace(), archive.unheld_in(number)
        self.is_seen = bool(opening.steps or opening.exceptions)
        self.raised_at = opening.exceptions[-1].place if opening.exceptions else Place()
        own = {
            SOURCE: archive.source(opening),
            RUN: Trace(facts={UNHELD: unheld}) if unheld else None,
        }
        super().__init__(traces | own, archive.clock)


def later_trainings(archive: Archive) -> list[LaterTraining]:
    """Return the trainings of a run after its first, of which a step was seen, or its end."""
    begun = enumerate(archive.run.facts.get("later_trainings") or (), start=1)
    found = [LaterTraining(archive, number, step) for number, step in begun]
    return [training for training in found if training.is_seen]
