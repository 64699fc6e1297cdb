"""Gives a setup back as it was, bit for bit, at the memory cost of one copy of what changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.errors import TrainDoctorError
from traindoctor.target.interpreter import InterpreterState
from traindoctor.target.memory import Memory
from traindoctor.target.room import roomiest_folder

if TYPE_CHECKING:
    import torch

    from traindoctor.target.setup import TrainingSetup

__all__ = ["NoRoom", "Snapshot", "SnapshotError", "preserved"]


class SnapshotError(TrainDoctorError):
    """Something changed of which no copy was kept."""


class NoRoom(SnapshotError):
    """There is no room for a copy."""


class Snapshot:
    """A setup as it was at one moment; may be restored any number of times.

    Kept are the modules' attributes, parameters, buffers, gradients, hooks and modes, the
    optimizers, scheduler and scaler, the random generators, the loader's attributes, and
    torch's global settings. Not kept: what user code holds in globals, in closures and in
    objects that none of these name, and a stream that was read on.

    Frozen parameters are copied where the user's own step or loop runs, which may unfreeze
    them, or where they are no larger than the trainable ones; elsewhere they are only
    checked.
    """

    def __init__(self, setup: TrainingSetup) -> None:
        self._memory = Memory()
        for tensor in _uncopied(setup):
            self._memory.watch(tensor)
        trained = (setup.model, setup.loss_fn, *setup.optimizers, setup.scheduler, setup.scaler)
        for part in trained:
            self._memory.remember(part)
        for part in (*setup.model.parameters(), *setup.model.buffers()):
            self._memory.remember(part)  # those of a scripted module stand in no attribute
        for loader in (setup.loader, setup.validation_loader):
            self._memory.remember_shallow(loader)
        self._keep()
        self._interpreter = InterpreterState.read()
        modules: list[Any] = list(setup.model.modules())
        self._sharded = [module for module in modules if _is_sharded(module)]

    def _keep(self) -> None:
        size = f"a copy of the setup, {self._memory.num_needed / 1e9:.1f} GB"
        advice = "name a folder with more room in TMPDIR, or do without a copy (--no-restore)"
        folder, free = roomiest_folder()
        try:
            self._memory.keep()
        except OSError as error:
            why = f"{error.strerror or error} in {folder}, where {free / 1e9:.1f} GB were free"
            raise NoRoom(f"{size}, has no room in memory, nor on disk ({why}); {advice}") from None

    @classmethod
    def take(cls, setup: TrainingSetup) -> Snapshot:
        """Remember the setup as it is now; where memory would not hold the copy, on disk.

        Raises:
            NoRoom: the disk would not hold it either.
        """
        return cls(setup)

    @property
    def num_bytes(self) -> int:
        """Memory that the copies take, those on disk left out."""
        return self._memory.num_bytes

    def restore(self) -> None:
        """Give the setup back.

        Raises:
            SnapshotError: a frozen parameter that was not copied has changed; all else is
                restored all the same.
        """
        for module in self._sharded:  # else it goes on as if its parameters were gathered
            module.reshard()
        changed = self._memory.restore()
        self._interpreter.restore()
        if changed:
            raise SnapshotError(
                f"{changed} frozen parameters were written to and cannot be given back; "
                "pass a train_step, or make a fresh setup for every run (--no-restore)"
            )


@contextmanager
def preserved(setup: TrainingSetup, enabled: bool = True) -> Iterator[None]:
    """Give the setup back at the end, whatever happens in between."""
    if not enabled:
        yield
        return
    snapshot = Snapshot.take(setup)
    try:
        yield
    finally:
        snapshot.restore()


def _uncopied(setup: TrainingSetup) -> Sequence[torch.Tensor]:
    """Return the frozen parameters that are too large to copy on the off chance."""
    if setup.train_loop is not None or (setup.train_step is not None and not setup.only_loss):
        return []
    parameters = list(setup.model.parameters())
    frozen = [p for p in parameters if not p.requires_grad and p.grad is None]
    trainable = sum(_num_bytes(p) for p in parameters if p.requires_grad)
    return frozen if sum(map(_num_bytes, frozen)) > trainable else []


def _is_sharded(module: Any) -> bool:
    """Tell whether parameters of a module are spread over processes by `fully_shard`."""
    return any(kind.__name__ == "FSDPModule" for kind in type(module).__mro__)


def _num_bytes(tensor: Any) -> int:
    from torch.nn.parameter import is_lazy

    return 0 if is_lazy(tensor) else tensor.numel() * tensor.element_size()
