"""A `transformers.Trainer` as a setup, without what `Trainer.train` does besides training."""

from __future__ import annotations

import math
from typing import Any

from traindoctor.errors import TargetError
from traindoctor.target.failures import running_user_code
from traindoctor.target.looking import length
from traindoctor.target.setup import TrainingSetup

__all__ = ["adapt", "is_trainer"]


def is_trainer(thing: object) -> bool:
    """Tell a Trainer by the names of its classes, so that transformers need not be imported."""
    return any(
        kind.__name__ == "Trainer" and kind.__module__.startswith("transformers.")
        for kind in type(thing).__mro__
    )


def adapt(trainer: Any) -> TrainingSetup:
    """Take a Trainer apart into model, loader, optimizer, schedule and loss.

    The trainer's own `optimizer` and `lr_scheduler` are left as they were. The model is put
    into training mode, as `Trainer.train` does.

    Raises:
        TargetError: it has no training data, or making its parts failed.
    """
    if trainer.train_dataset is None:
        raise TargetError("the Trainer has no train_dataset")
    args, model = trainer.args, trainer.model
    model.train()
    with running_user_code("taking the Trainer apart"):
        loader = trainer.get_train_dataloader()
        optimizer, scheduler = _optimizer_and_scheduler(trainer, loader)
    return TrainingSetup(
        model=model,
        loader=loader,
        optimizer=optimizer,
        scheduler=scheduler,
        scaler=getattr(trainer.accelerator, "scaler", None),
        train_step=_train_step(trainer),
        accumulation_steps=args.gradient_accumulation_steps,
        max_grad_norm=args.max_grad_norm or None,
        epochs=math.ceil(args.num_train_epochs),
        device=args.device,
        kind="Trainer",
        only_loss=not _overrides_training_step(trainer),
        trainer=trainer,
    )


def _optimizer_and_scheduler(trainer: Any, loader: Any) -> tuple[Any, Any]:
    """Have the trainer make what it would, then take both out of it again.

    No schedule is laid over an optimizer that the user made: that would write to it.
    """
    before = trainer.optimizer, trainer.lr_scheduler, trainer._created_lr_scheduler
    try:
        optimizer = trainer.create_optimizer()
        scheduler = trainer.lr_scheduler
        steps = _num_training_steps(trainer.args, loader)
        if scheduler is None and before[0] is None and steps is not None:
            scheduler = trainer.create_scheduler(num_training_steps=steps, optimizer=optimizer)
        return optimizer, scheduler
    finally:
        trainer.optimizer, trainer.lr_scheduler, trainer._created_lr_scheduler = before


def _num_training_steps(args: Any, loader: Any) -> int | None:
    if args.max_steps > 0:
        return int(args.max_steps)
    batches = length(loader)
    if batches is None:  # a stream
        return None
    updates: int = max(1, batches // args.gradient_accumulation_steps)
    return math.ceil(updates * float(args.num_train_epochs))


def _train_step(trainer: Any) -> Any:
    """Return `Trainer.training_step` up to the loss, or whole where a subclass has its own.

    The loss is the mean over one micro-batch; a Trainer that accumulates may weigh micro-batches
    by their tokens instead.
    """
    if _overrides_training_step(trainer):
        trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
        # Through a function of ours, because theirs may hide its parameters.
        return lambda model, batch: trainer.training_step(model, batch)  # noqa: PLW0108

    def train_step(model: Any, batch: Any) -> Any:
        model.train()
        inputs = trainer._prepare_inputs(batch)
        with trainer.compute_loss_context_manager(), trainer.accelerator.autocast():
            return trainer.compute_loss(model, inputs)

    return train_step


def _overrides_training_step(trainer: Any) -> bool:
    owner = next(kind for kind in type(trainer).__mro__ if "training_step" in vars(kind))
    return not owner.__module__.startswith("transformers.")
