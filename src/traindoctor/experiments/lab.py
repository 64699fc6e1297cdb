"""Where experiments run: one setup, given back after each as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.errors import RAISED_BY_USERS, UsageError, nearest

if TYPE_CHECKING:
    import torch

    from traindoctor.instruments.anatomy import Anatomy
    from traindoctor.target.history import History
    from traindoctor.target.setup import TrainingSetup
    from traindoctor.target.snapshot import Snapshot
    from traindoctor.trace import Trace

SEED = 0


@dataclass(frozen=True)
class Experiment:
    """A controlled run that measures. Equal settings are one experiment, run once.

    A subclass is a frozen dataclass of its settings with `name`, `cost` and `run`.
    """

    name: ClassVar[str]
    cost: ClassVar[int]  # cheap ones run first; about the number of training steps
    keeps_history: ClassVar[bool] = False  # of parameters that have operations behind them
    only_watched: ClassVar[str] = ""  # why a lab cannot do it

    def run(self, lab: Lab) -> Trace:
        """Do it, in a lab that gives the setup back afterwards."""
        raise NotImplementedError

    def measurements(self, trace: Trace) -> dict[str, Any]:  # noqa: ARG002  for subclasses
        """Return the figures of a trace that a person would plot."""
        return {}

    @property
    def title(self) -> str:
        """What it does, as a progress line says it."""
        return self.name

    @property
    def key(self) -> str:
        """The experiment with its settings, as text."""
        settings = repr(self).partition("(")[2]
        return f"{self.name}({settings}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A batch from the loader, as it came."""

    index: int
    batch: Any
    seconds: float


class Lab:
    """A setup under examination.

    Args:
        setup: what is examined.
        restore: give the setup back after each experiment; takes a copy of what changes.
        overrides: settings by experiment name that win over what a probe asks for.
        clock: seconds; injected in tests.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        *,
        restore: bool = True,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.setup, self.restore, self.clock = setup, restore, clock
        self.overrides = overrides or {}
        self.on_progress: Callable[[int, int, str], None] = lambda *_: None
        self._fetched: list[Fetched] = []
        self._iterator: Any = None
        self.loader_error: BaseException | None = None

    def adjusted(self, experiment: Experiment) -> Experiment:
        """Return the experiment with the overrides for its name.

        Raises:
            UsageError: an override names a setting that it does not have.
        """
        settings = self.overrides.get(experiment.name)
        if not settings:
            return experiment
        known = tuple(experiment.__dataclass_fields__)
        for name in settings:
            if name not in known:
                raise UsageError(
                    f"the experiment {experiment.name} has no setting {name!r}"
                    f"{nearest(name, known)}"
                )
        return replace(experiment, **settings)

    def refusal(self, experiment: Experiment) -> str | None:
        """Return why an experiment cannot be had, or None."""
        refusal = experiment.only_watched or None
        if refusal is None and experiment.cost:
            refusal = self._without_values or self._without_room
        return refusal

    @cached_property
    def _without_values(self) -> str | None:
        from traindoctor.target.valueless import why_nothing_runs

        return why_nothing_runs(self.setup.model)

    @cached_property
    def _without_room(self) -> str | None:
        """Why there is no copy of the setup to go back to, where one is wanted; else None."""
        from traindoctor.target.snapshot import NoRoom

        self._give_lazy_parameters_their_shapes()
        try:
            _ = self.snapshot
        except NoRoom as error:
            return str(error)
        return None

    def perform(self, experiment: Experiment) -> Trace:
        """Run an experiment from the same seed as any other, then give the setup back."""
        # Without room for a copy only those run that change nothing.
        snapshot = None if self._without_room else self.snapshot
        history = self.history  # as the setup was handed over, too
        seed_everything()
        try:
            with history.cut():
                _ = self.anatomy
                if not experiment.keeps_history:
                    return self._run(experiment)
            return self._run(experiment)
        finally:
            if snapshot is not None:
                snapshot.restore()

    def _run(self, experiment: Experiment) -> Trace:
        with _uncompiled():
            return experiment.run(self)

    def _give_lazy_parameters_their_shapes(self) -> None:
        """Run one forward for models with `nn.Lazy…` modules, as their user has to."""
        import torch
        from torch.nn.parameter import is_lazy

        from traindoctor.target.batches import copy_batch
        from traindoctor.target.calling import call_model

        if any(is_lazy(p) for p in self.setup.model.parameters()) and self.batches(1):
            with torch.no_grad(), suppress(Exception):  # its troubles show in the experiments
                call_model(self.setup.model, copy_batch(self.batches(1)[0].batch), self.setup)

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The setup as it was, taken once; None where nothing is to be restored."""
        from traindoctor.target.snapshot import Snapshot

        return Snapshot.take(self.setup) if self.restore else None

    @cached_property
    def history(self) -> History:
        """What the model's parameters bring along; a backward pass uses it up, so it is cut."""
        from traindoctor.target.history import History

        return History(self.setup.model)

    @cached_property
    def anatomy(self) -> Anatomy:
        """The setup's parts as rows."""
        from traindoctor.instruments.anatomy import Anatomy

        own = not self.setup.optimizers
        optimizers = (self.doctors_optimizer(),) if own else self.setup.optimizers
        return Anatomy(self.setup, optimizers, own, self.history.names)

    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """Return the setup's optimizers, or a fresh one of the doctor's."""
        return self.setup.optimizers or (self.doctors_optimizer(),)

    def doctors_optimizer(self, learning_rate: float = 1e-3) -> torch.optim.Optimizer:
        """Return AdamW over all trainable parameters, for setups that name no optimizer."""
        import torch

        trainable = [p for p in self.setup.model.parameters() if p.requires_grad and p.is_leaf]
        # An empty optimizer cannot be built: a parameter that never gets a gradient stands in.
        return torch.optim.AdamW(trainable or [torch.nn.Parameter(torch.zeros(1))], learning_rate)

    def batches(self, number: int) -> list[Fetched]:
        """Return the first batches of the loader; fewer where it ends or raises.

        They are fetched once and kept: the loader may be a generator. An exception of the
        loader is kept in `loader_error`.
        """
        if self._iterator is None and self.loader_error is None:
            try:
                self._iterator = iter(self.setup.loader)
            except RAISED_BY_USERS as error:
                self.loader_error = error
        while len(self._fetched) < number and self.loader_error is None:
            start = self.clock()
            try:
                batch = next(self._iterator)
            except StopIteration:
                break
            except RAISED_BY_USERS as error:
                self.loader_error = error
                break
            self._fetched.append(Fetched(len(self._fetched), batch, self.clock() - start))
        return self._fetched[:number]


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Run compiled models as they are written: hooks on inner modules vanish when compiled."""
    import sys

    import torch

    # Whoever called `torch.compile` has imported this; it costs a second to do so for nothing.
    if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def seed_everything(seed: int = SEED) -> None:
    """Seed python, numpy and torch, so that every experiment starts alike."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
