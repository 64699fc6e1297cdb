"""`TrainDoctorCallback` for Lightning's `Trainer`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning.pytorch.callbacks import Callback

from traindoctor.integrations.watcher import Watcher
from traindoctor.report.record import Report


class TrainDoctorCallback(Callback):  # type: ignore[misc]  # the base class is untyped
    """Watches a Lightning run: `Trainer(callbacks=[TrainDoctorCallback()])`.

    Findings go to the logger `traindoctor`; the report of the whole run is `report` when
    training has ended, also by an exception.

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

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        self.watcher.begin(pl_module, trainer.optimizers)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Judge where a look is due."""
        self.watcher.step()
        if self.stop_on_critical and self.watcher.critical:
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop watching, and log the report."""
        self.report = self.watcher.end() or self.report

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Stop watching, and log the report with what was raised."""
        self.report = self.watcher.end(exception) or self.report
