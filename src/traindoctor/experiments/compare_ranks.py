"""Sets beside one another what several processes of one training have recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.trace import Trace

ONE_PROCESS = "one process; `watch --nproc N` compares several"


@dataclass(frozen=True)
class CompareRanks(Experiment):
    """The tables ranks and digests of all processes; the other tables are the first process's.

    Had from a script that is watched as several processes alone.
    """

    name: ClassVar[str] = "compare-ranks"
    cost: ClassVar[int] = 0
    only_watched: ClassVar[str] = ONE_PROCESS

    def run(self, lab: Lab) -> Trace:  # noqa: ARG002
        """Refuse: a lab is one process.

        Raises:
            ExperimentFailed: always.
        """
        raise ExperimentFailed(self.only_watched)
