"""Answers a probe's experiments from what was recorded of a watched run."""

from __future__ import annotations

import linecache
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from traindoctor.experiments import Experiment, OneStep
from traindoctor.instruments.unheld import FACT as UNHELD
from traindoctor.trace import BatchRow, Trace
from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.meeting import together
from traindoctor.watching.record import CLOSELY, FIRST_STEP, OPENING, POST_MORTEM, RUN, SOURCE
from traindoctor.watching.recorded import Recorded

CLOSE = ("moved", "seconds", "num_batches_asked", "discarded_backwards", "evaluated_batches")
NUM_READ = 16  # batches that count as read


class Archive(Recorded):
    """What a run left, for one state of a trace on disk.

    Args:
        stored: the trace.

    Raises:
        TargetError: the trace cannot be read.
    """

    def __init__(
        self, stored: StoredTraces, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.stored = stored
        names = (*CLOSELY, SOURCE, POST_MORTEM)
        super().__init__({name: stored.trace(name) for name in names}, clock)
        whole = _with_scaler(stored.trace(RUN) or Trace())
        self._begun = (0, *(whole.facts.get("later_trainings") or ()), math.inf)
        self._unheld = whole.facts.get(UNHELD) or {}  # in any of its trainings
        self.run = replace(whole, facts=whole.facts | {UNHELD: self.unheld_in(0)})
        self.opening = self._opening()

    def goes_on_from(self, earlier: dict[str, Any]) -> None:
        """Let probes know how the run ended that this one goes on from."""
        self.run = replace(self.run, facts=self.run.facts | {"earlier": earlier})
        self.opening = self._opening()

    def unheld_in(self, number: int) -> dict[str, tuple[int, int]]:
        """Return what came to be trained, and is in no optimizer, in one of its trainings."""
        first, end = self._begun[number], self._begun[number + 1]
        return {name: steps for name, steps in self._unheld.items() if first <= steps[0] < end}

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

    @cached_property
    def ranks(self) -> Trace | None:
        """Return the run with what its other processes have recorded; None where it is alone."""
        return together(self.run, self.stored.path)

    def answer(self, experiment: Experiment) -> Trace | None:
        """Return what was recorded; None where nobody looked."""
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
            return self.traces[name] or Trace()
        if name == "read-source":
            return self.source(self.run)
        return super().answer(experiment)

    def _opening(self) -> Trace:
        """Return the run with its first steps, which were seen closely, and what went wrong later.

        What instruments record all along, as loaders, schedules and clipping, is the whole run's.
        """
        run, opening = self.run, self.traces[OPENING]
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
        found = self.traces[FIRST_STEP]
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
            exceptions=run.exceptions if not run.batches else (),
            facts=facts | {"ended": is_whole},
        )

    def source(self, of: Trace) -> Trace:
        """Return the user's source, beside what trains."""
        stored = self.traces[SOURCE] or Trace()
        return replace(
            stored,
            setup=of.setup,
            parameters=of.parameters,
            modules=(*of.modules, *stored.modules),
            optimizers=of.optimizers,
        )

    def lend_source(self) -> None:
        """Let lines be shown as they were, where a file is gone by now."""
        stored = self.traces[SOURCE]
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
