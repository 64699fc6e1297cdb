"""`TrainDoctorCallback` for `transformers.Trainer`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from transformers import TrainerCallback

from traindoctor.integrations.watcher import Watcher
from traindoctor.report.record import Report


class TrainDoctorCallback(TrainerCallback):  # type: ignore[misc]  # the base class is untyped
    """Watches a `Trainer`'s run: `Trainer(…, callbacks=[TrainDoctorCallback()])`.

    Findings go to the logger `traindoctor`; the report of the whole run is `report` when
    training has ended. If training raises, call `end`.

    Args:
        select: rules that may report.
        ignore: rules left out.
        budget: share of the run's time for watching.
        stop_on_critical: end training at the first critical finding.
    """

    def __init__(
        self,
        *,
        select: Iterable[str] = ("ALL",),
        ignore: Iterable[str] = (),
        budget: float = 0.02,
        stop_on_critical: bool = False,
    ) -> None:
        self.watcher = Watcher(select=select, ignore=ignore, budget=budget)
        self.stop_on_critical = stop_on_critical
        self.report: Report | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Begin to watch."""
        optimizer = getattr(given["optimizer"], "optimizer", given["optimizer"])  # accelerate's
        self.watcher.begin(given["model"], [optimizer])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Judge where a look is due."""
        self.watcher.step()
        if self.stop_on_critical and self.watcher.critical:
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Stop watching, and log the report."""
        self.end()

    def end(self) -> Report | None:
        """Stop watching after a run that raised; return the report."""
        self.report = self.watcher.end() or self.report
        return self.report
