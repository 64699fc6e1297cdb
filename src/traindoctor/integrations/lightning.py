"""`TrainDoctorCallback` for Lightning's `Trainer`."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import Callback

from traindoctor.integrations.watcher import Watching


class TrainDoctorCallback(Watching, Callback):  # type: ignore[misc]  # the base class is untyped
    """Watches a Lightning run: `Trainer(callbacks=[TrainDoctorCallback()])`.

    Findings go to the logger `traindoctor`; the report of the whole run is `report` when
    training has ended, also by an exception.

    The arguments are those of `Watching`.
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        self.watcher.begin(pl_module, trainer.optimizers)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Judge where a look is due."""
        if self._must_stop():
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop watching, and log the report."""
        self._end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Stop watching, and log the report with what was raised."""
        self._end(exception)
