"""`TrainDoctorCallback` for `transformers.Trainer`."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from traindoctor.integrations.watcher import Watching
from traindoctor.report.record import Report


class TrainDoctorCallback(Watching, TrainerCallback):  # type: ignore[misc]  # the base class is untyped
    """Watches a `Trainer`'s run: `Trainer(…, callbacks=[TrainDoctorCallback()])`.

    Findings go to the logger `traindoctor`; the report of the whole run is `report` when
    training has ended. If training raises, call `end`.

    The arguments are those of `Watching`.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Begin to watch."""
        optimizer = getattr(given["optimizer"], "optimizer", given["optimizer"])  # accelerate's
        self.watcher.begin(given["model"], [optimizer])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Judge where a look is due."""
        if self._must_stop():
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Stop watching, and log the report."""
        self.end()

    def end(self) -> Report | None:
        """Stop watching after a run that raised; return the report."""
        return self._end()
