"""Answers a probe's experiments from what was recorded closely of one training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, LocateZeroGradient, OneStep, WatchWeights
from traindoctor.trace import Trace
from traindoctor.watching.record import MATRICES, ZEROS

REFUSED = (
    "a run is watched and not experimented with; hand over a factory, and "
    "`traindoctor check FILE:FACTORY` examines it"
)


def reason(experiment: Experiment) -> str:
    """Return why an experiment cannot be had of a run that was watched."""
    return experiment.only_watched or REFUSED


class Recorded:
    """Stands where a lab stands.

    Args:
        traces: what was recorded, by the name of the experiment that would give it.
        clock: seconds.
    """

    def __init__(self, traces: Mapping[str, Trace | None], clock: Callable[[], float]) -> None:
        self.traces, self.clock = traces, clock
        self.on_progress: Callable[[int, int, str], None] = lambda *_: None

    def adjusted(self, experiment: Experiment) -> Experiment:
        """Return the experiment as it is: the run was the script's."""
        return experiment

    def refusal(self, experiment: Experiment) -> str | None:
        """Return why an experiment cannot be had, or None."""
        return reason(experiment) if self.answer(experiment) is None else None

    def perform(self, experiment: Experiment) -> Trace:
        """Return what was recorded.

        Raises:
            ExperimentFailed: it cannot be had.
        """
        answer = self.answer(experiment)
        if answer is None:
            raise ExperimentFailed(reason(experiment))
        return answer

    def answer(self, experiment: Experiment) -> Trace | None:
        """Return what was recorded; None where nobody looked."""
        if isinstance(experiment, WatchWeights):
            return self._matrices(experiment.parameters)
        if isinstance(experiment, LocateZeroGradient):
            return self._zeros(experiment.parameters)
        if isinstance(experiment, OneStep) and experiment.batch != 0:
            return None
        return self.traces.get(experiment.name)

    def _matrices(self, parameters: tuple[str, ...]) -> Trace | None:
        """Return what became of some matrices, if it is known of each."""
        found = self.traces.get(MATRICES) or Trace()
        rows = tuple(row for row in found.weights if row.name in parameters)
        return replace(found, weights=rows) if len(rows) == len(parameters) else None

    def _zeros(self, parameters: tuple[str, ...]) -> Trace | None:
        """Return what made some gradients zero, if it was looked for."""
        found = self.traces.get(ZEROS)
        known = () if found is None else found.facts["parameters"]
        return found if set(parameters) <= set(known) else None
