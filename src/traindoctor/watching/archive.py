"""Answers a probe's experiments from what was recorded of a watched run."""

from __future__ import annotations

import linecache
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, LocateZeroGradient, OneStep, WatchWeights
from traindoctor.trace import BatchRow, Trace
from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.record import (
    FIRST_STEP,
    MATRICES,
    OPENING,
    POST_MORTEM,
    RUN,
    SOURCE,
    WEIGHTS,
    ZEROS,
)

REFUSED = (
    "a run is watched and not experimented with; hand over a factory, and "
    "`traindoctor check FILE:FACTORY` examines it"
)
CLOSE = ("moved", "seconds", "num_batches_asked", "discarded_backwards", "evaluated_batches")
NUM_READ = 16  # batches that count as read


class Archive:
    """Stands where a lab stands, for one state of a trace on disk.

    Args:
        stored: the trace.

    Raises:
        TargetError: the trace cannot be read.
    """

    def __init__(
        self, stored: StoredTraces, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.clock = clock
        self.on_progress: Callable[[int, int, str], None] = lambda *_: None
        self.run = _with_scaler(stored.trace(RUN) or Trace())
        names = (OPENING, FIRST_STEP, WEIGHTS, MATRICES, SOURCE, POST_MORTEM, ZEROS)
        self._stored = {name: stored.trace(name) for name in names}
        self.opening = self._opening()

    @property
    def has_training(self) -> bool:
        """Tell whether anything was seen that belongs to a training run."""
        run, facts = self.run, self.run.facts
        if facts.get("num_steps") or facts.get("num_passes"):
            return True
        if run.exceptions and facts.get("environment"):
            return True
        return run.setup.has_optimizer and bool(
            facts.get("num_forwards") or facts.get("loop_places")
        )

    def adjusted(self, experiment: Experiment) -> Experiment:
        """Return the experiment as it is: the run was the script's."""
        return experiment

    def refusal(self, experiment: Experiment) -> str | None:
        """Return why an experiment cannot be had, or None."""
        return REFUSED if self._answer(experiment) is None else None

    def perform(self, experiment: Experiment) -> Trace:
        """Return what was recorded.

        Raises:
            ExperimentFailed: it cannot be had.
        """
        answer = self._answer(experiment)
        if answer is None:
            raise ExperimentFailed(REFUSED)
        return answer

    def _answer(self, experiment: Experiment) -> Trace | None:
        name = experiment.name
        if name == "short-run":
            return self.opening
        if name in ("long-run", "watch-loader", "try-hooks"):
            return self.run
        if isinstance(experiment, OneStep):
            return self.first_step if experiment.batch == 0 else self._step(experiment.batch)
        if name == "read-batches":
            is_there = bool(self.run.batches or self.run.facts.get("loop_places"))
            return self._batches() if is_there else None
        if isinstance(experiment, WatchWeights):
            return self._matrices(experiment.parameters)
        if isinstance(experiment, LocateZeroGradient):
            return self._zeros(experiment.parameters)
        if name == POST_MORTEM:
            return self._stored[name] or Trace()
        if name == "read-source":
            return self._source()
        return self._stored.get(name)

    def _opening(self) -> Trace:
        """Return the run with its first steps, which were seen closely, and what went wrong later.

        What instruments record all along, as loaders, schedules and clipping, is the whole run's.
        """
        run, opening = self.run, self._stored[OPENING]
        if opening is None:  # the run is in it still, or ended there
            return run
        modes = run.facts.get("later_modes") or {}
        return replace(
            run,
            modules=tuple(
                replace(row, modes=(*row.modes, *modes[row.path])) if row.path in modes else row
                for row in opening.modules
            ),
            counts=opening.counts,
            batches=(*opening.batches, *filter(_is_bad, run.batches[len(opening.batches) :])),
            facts=run.facts | {k: v for k, v in opening.facts.items() if k in CLOSE},
        )

    @property
    def first_step(self) -> Trace | None:
        """Return the first step; where the run ended in it, what was seen by then."""
        found = self._stored[FIRST_STEP]
        if found is not None:
            return found
        return self.run if self.run.exceptions and len(self.run.backwards) <= 1 else None

    def _matrices(self, parameters: tuple[str, ...]) -> Trace | None:
        """Return what became of some matrices, if it is known of each."""
        found = self._stored[MATRICES] or Trace()
        rows = tuple(row for row in found.weights if row.name in parameters)
        return replace(found, weights=rows) if len(rows) == len(parameters) else None

    def _zeros(self, parameters: tuple[str, ...]) -> Trace | None:
        """Return what made some gradients zero, if it was looked for."""
        found = self._stored[ZEROS]
        known = () if found is None else found.facts["parameters"]
        return found if set(parameters) <= set(known) else None

    def _step(self, batch: int) -> Trace | None:
        """Return what was seen of one later batch, if it came to a loss or an exception."""
        run = self.run
        steps = {row.index for row in run.steps if row.batch == batch}
        found = replace(
            run,
            batches=tuple(row for row in run.batches if row.index == batch),
            losses=tuple(row for row in run.losses if row.batch == batch),
            backwards=tuple(row for row in run.backwards if row.batch == batch),
            steps=tuple(row for row in run.steps if row.batch == batch),
            gradients=tuple(row for row in run.gradients if row.step in steps),
            exceptions=tuple(row for row in run.exceptions if row.batch == batch),
        )
        return found if found.losses or found.exceptions else None

    def _batches(self) -> Trace:
        run = self.run
        facts = dict(run.facts.get("loader") or {})
        is_whole = len(run.batches) < NUM_READ and bool(run.facts.get("ended"))
        return Trace(
            setup=run.setup,
            modules=run.modules,
            parameters=run.parameters,
            # Later ones stand there because something was wrong with them.
            batches=(*run.batches[:NUM_READ], *(r for r in run.batches[NUM_READ:] if _is_bad(r))),
            exceptions=run.exceptions if not run.batches else (),
            facts=facts | {"ended": is_whole},
        )

    def _source(self) -> Trace:
        stored = self._stored[SOURCE] or Trace()
        return replace(
            stored,
            setup=self.run.setup,
            parameters=self.run.parameters,
            modules=(*self.run.modules, *stored.modules),
            optimizers=self.run.optimizers,
        )

    def lend_source(self) -> None:
        """Let lines be shown as they were, where a file is gone by now."""
        stored = self._stored[SOURCE]
        for row in stored.source if stored else ():
            if not Path(row.file).exists():
                lines = row.text.splitlines(keepends=True)
                linecache.cache[row.file] = (len(row.text), None, lines, row.file)


def _with_scaler(run: Trace) -> Trace:
    """Say of a run that scaled losses that it has a scaler: nobody handed it over."""
    if not run.scalers:
        return run
    return replace(run, setup=replace(run.setup, has_scaler=True))


def _is_bad(row: BatchRow) -> bool:
    return any(leaf.num_nan or leaf.num_infinite for leaf in row.leaves)
