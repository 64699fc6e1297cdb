"""Catches what the setup's training calls its model with, so that the model can be called again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traindoctor.experiments.lab import Lab
from traindoctor.experiments.loop import Loop, as_training_begins
from traindoctor.experiments.user_loop import EnoughSeen, run_user_loop
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import copy_batch, leaves

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class ModelCall:
    """The arguments of one call, and the batch that it was made for."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    batch: Any

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors among the arguments."""
        return [tensor for _, tensor in leaves((self.args, self.kwargs))]


def first_call(lab: Lab) -> ModelCall | None:
    """Return the first call for training on the first batch; None where the model is not called.

    The training ends there: nothing is differentiated, and no weight moves.
    """
    import torch

    fetched = lab.batches(1)
    if not fetched:
        return None
    found: list[ModelCall] = []

    def catch(_: Any, args: Any, kwargs: Any) -> None:
        if torch.is_grad_enabled():
            found.append(ModelCall(copy_batch(args), copy_batch(kwargs), fetched[0].batch))
            raise EnoughSeen

    recorder = Recorder(clock=lab.clock)
    as_training_begins(lab)
    handle = lab.setup.model.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        if lab.setup.train_loop is not None and lab.setup.train_step is None:
            run_user_loop(lab, recorder, 1, instead=iter([copy_batch(fetched[0].batch)]))
        else:
            with suppress(EnoughSeen):
                Loop(lab.setup, lab.optimizers(), recorder).run(fetched)
    finally:
        handle.remove()
    return found[0] if found else None
