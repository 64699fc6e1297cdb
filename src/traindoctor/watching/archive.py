"""Answers a probe's experiments from what was recorded of a watched run."""

from __future__ import annotations

import linecache
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, OneStep
from traindoctor.instruments.unheld import FACT as UNHELD
from traindoctor.trace import BatchRow, Trace
from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.later import trace_name
from traindoctor.watching.meeting import together
from traindoctor.watching.record import FIRST_STEP, OPENING, POST_MORTEM, RUN, SOURCE, WEIGHTS

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
        whole = _with_scaler(stored.trace(RUN) or Trace())
        self.unheld = whole.facts.get(UNHELD) or {}  # in any of its trainings
        self.run = replace(whole, facts=whole.facts | {UNHELD: self.unheld_between(whole, 0)})
        names = (OPENING, FIRST_STEP, WEIGHTS, SOURCE, POST_MORTEM)
        self.stored = stored
        self._stored = {name: stored.trace(name) for name in names}
        self.opening = self._opening()

    def unheld_between(self, whole: Trace, number: int) -> dict[str, tuple[int, int]]:
        """Return what came to be trained, and is in no optimizer, in one of the trainings."""
        begun = (0, *(whole.facts.get("later_trainings") or ()), math.inf)
        first, end = begun[number], begun[number + 1]
        return {name: steps for name, steps in self.unheld.items() if first <= steps[0] < end}

    def later(self) -> list[LaterTraining]:
        """Return the trainings after the first, of which a step was seen."""
        begun = enumerate(self.run.facts.get("later_trainings") or (), start=1)
        found = [LaterTraining(self, number, step) for number, step in begun]
        return [training for training in found if training.has_stepped]

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
        return _reason(experiment) if self._answer(experiment) is None else None

    def perform(self, experiment: Experiment) -> Trace:
        """Return what was recorded.

        Raises:
            ExperimentFailed: it cannot be had.
        """
        answer = self._answer(experiment)
        if answer is None:
            raise ExperimentFailed(_reason(experiment))
        return answer

    @cached_property
    def ranks(self) -> Trace | None:
        """Return the run with what its other processes have recorded; None where it is alone."""
        return together(self.run, self.stored.path)

    def _answer(self, experiment: Experiment) -> Trace | None:
        name = experiment.name
        if name == "compare-ranks":
            return self.ranks
        if name == "short-run":
            return self.opening
        if name in ("long-run", "watch-loader", "try-hooks"):
            return self.run
        if isinstance(experiment, OneStep):
            return self.first_step if experiment.batch == 0 else self._step(experiment.batch)
        if name == "read-batches":
            is_there = bool(self.run.batches or self.run.facts.get("loop_places"))
            return self._batches() if is_there else None
        if name == POST_MORTEM:
            return self._stored[name] or Trace()
        if name == "read-source":
            return self.source(self.run)
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
            exceptions=tuple(row for row in run.exceptions if row.phase == "fetch"),
            facts=facts | {"ended": is_whole},
        )

    def source(self, of: Trace) -> Trace:
        """Return the user's source, beside what trains."""
        stored = self._stored[SOURCE] or Trace()
        return replace(
            stored,
            setup=of.setup,
            parameters=of.parameters,
            modules=(*of.modules, *stored.modules),
            optimizers=of.optimizers,
        )

    def lend_source(self) -> None:
        """Let lines be shown as they were, where a file is gone by now."""
        stored = self._stored[SOURCE]
        for row in stored.source if stored else ():
            if not Path(row.file).exists():
                lines = row.text.splitlines(keepends=True)
                linecache.cache[row.file] = (len(row.text), None, lines, row.file)


class LaterTraining:
    """Stands where a lab stands, for the first steps of another training of the same run.

    What is recorded all along is judged with the whole run; here is what was seen closely.

    Args:
        archive: of the run.
        number: of the training, after the first.
        step: how many steps the run had taken before it.
    """

    def __init__(self, archive: Archive, number: int, step: int) -> None:
        self.clock, self.on_progress = archive.clock, archive.on_progress
        self.number, self.step = number, step
        names = (OPENING, FIRST_STEP, WEIGHTS)
        self._traces: dict[str, Trace | None] = {
            n: archive.stored.trace(trace_name(number, n)) for n in names
        }
        self._traces[SOURCE] = archive.source(self._traces[OPENING] or Trace())
        unheld = archive.unheld_between(archive.run, number)
        self._traces[RUN] = Trace(facts={UNHELD: unheld}) if unheld else None

    @property
    def has_stepped(self) -> bool:
        """Tell whether an optimizer has stepped in it."""
        opening = self._traces[OPENING]
        return opening is not None and bool(opening.steps)

    def adjusted(self, experiment: Experiment) -> Experiment:
        """Return the experiment as it is."""
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
        is_another = isinstance(experiment, OneStep) and experiment.batch != 0
        return None if is_another else self._traces.get(experiment.name)


def _reason(experiment: Experiment) -> str:
    """Return why an experiment cannot be had of a run that was watched."""
    return experiment.only_watched or REFUSED


def _with_scaler(run: Trace) -> Trace:
    """Say of a run that scaled losses that it has a scaler: nobody handed it over."""
    if not run.scalers:
        return run
    return replace(run, setup=replace(run.setup, has_scaler=True))


def _is_bad(row: BatchRow) -> bool:
    return any(leaf.num_nan or leaf.num_infinite for leaf in row.leaves)
