"""A Lightning module with its data as a setup.

A Trainer is attached while the module's own code runs, because that code may read
`self.trainer`, and is taken off again; it logs nothing and writes nothing.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from traindoctor.errors import TargetError
from traindoctor.target.failures import running_user_code
from traindoctor.target.setup import TrainingSetup

__all__ = ["adapt", "is_module"]

_ROOTS = ("lightning", "pytorch_lightning")
_ASSUMED_EPOCHS = 10  # for schedules that ask how long the training will be
_LOGGERS = ("log", "log_dict")


def is_module(thing: object) -> bool:
    """Tell whether something is a LightningModule."""
    return _base(thing, "LightningModule") is not None


def _base(thing: object, name: str) -> type | None:
    """Find a Lightning class by its name, so that nothing need be imported."""
    for kind in type(thing).__mro__:
        if kind.__name__ == name and kind.__module__.split(".")[0] in _ROOTS:
            return kind
    return None


def adapt(module: Any, data: Any, others: Mapping[str, Any]) -> TrainingSetup:
    """Take a module and its data apart as `Trainer.fit` would.

    Args:
        module: a LightningModule.
        data: a loader, a LightningDataModule, or None for the module's own `train_dataloader`.
        others: parts that the user gave by name; they win.

    Raises:
        TargetError: there is no loader, there are several, or the module's hooks raise.
    """
    datamodule = data if _base(data, "LightningDataModule") is not None else None
    trainer = module._trainer or _quiet_trainer(module, others.get("epochs"))
    with running_user_code("setting up the Lightning module"), _attached(module, trainer):
        trainer._data_connector.attach_data(
            module, train_dataloaders=None if datamodule else data, datamodule=datamodule
        )
        _call_setup_hooks(module, datamodule)
        trainer.strategy.connect(module)
        trainer.strategy.setup_optimizers(trainer)
        loader = _loader(module, data, datamodule)
        for hook in (module.on_fit_start, module.on_train_start, module.on_train_epoch_start):
            hook()
    parts = {
        "loader": loader,
        "optimizer": _optimizer(trainer.optimizers),
        "scheduler": _step_scheduler(trainer.lr_scheduler_configs),
        "train_step": _train_step(module, datamodule, trainer),
        "accumulation_steps": trainer.accumulate_grad_batches,
        "max_grad_norm": trainer.gradient_clip_val,
        "epochs": trainer.max_epochs if module._trainer else None,
    }
    return TrainingSetup(
        model=module,
        **(parts | dict(others)),
        kind="Lightning",
        only_loss=module.automatic_optimization,
    )


def _quiet_trainer(module: Any, epochs: int | None) -> Any:
    """Return a Trainer, of the package that the module comes from, that leaves no trace."""
    base = _base(module, "LightningModule")
    assert base is not None
    root = "lightning.pytorch" if base.__module__.startswith("lightning.") else "pytorch_lightning"
    package = importlib.import_module(root)
    loggers = importlib.import_module(f"{root}.loggers.logger")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # it tells of accelerators and of its makers
        try:
            trainer = package.Trainer(
                accelerator="cpu",
                devices=1,
                max_epochs=epochs or _ASSUMED_EPOCHS,
                logger=loggers.DummyLogger(),
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        finally:
            logging.disable(logging.NOTSET)
    trainer.training = True
    return trainer


@contextmanager
def _attached(module: Any, trainer: Any) -> Iterator[None]:
    """Attach a trainer, and keep `self.log` from asking where in the loop it is called."""
    before = module._trainer
    module.trainer = trainer
    for name in _LOGGERS:
        setattr(module, name, lambda *args, **kwargs: None)  # noqa: ARG005  takes what log takes
    try:
        yield
    finally:
        for name in _LOGGERS:
            vars(module).pop(name, None)
        module.trainer = before


def _call_setup_hooks(module: Any, datamodule: Any) -> None:
    for owner in (datamodule, module):
        if owner is not None:
            owner.prepare_data()
            owner.setup("fit")
    module.configure_model()


def _loader(module: Any, data: Any, datamodule: Any) -> Any:
    loader = data
    if datamodule is not None:
        loader = datamodule.train_dataloader()
    elif data is None:
        base = _base(module, "LightningModule")
        if type(module).train_dataloader is getattr(base, "train_dataloader", None):
            raise TargetError(
                f"{type(module).__name__} came without its data; return (module, loader) "
                "or (module, datamodule)"
            )
        loader = module.train_dataloader()
    if isinstance(loader, (list, tuple, dict)):
        raise TargetError(
            f"the Lightning data has {len(loader)} train loaders in a {type(loader).__name__}; "
            "return (module, loader) with one of them"
        )
    return loader


def _optimizer(optimizers: list[Any]) -> Any:
    """Return one, several or, where `configure_optimizers` returned None, no optimizers."""
    real = [item for item in optimizers if type(item).__name__ != "_MockOptimizer"]
    return real[0] if len(real) == 1 else tuple(real) or None


def _step_scheduler(configs: list[Any]) -> Any:
    """Return the scheduler if it is one that moves at every step.

    Lightning moves schedulers once an epoch unless told otherwise; the loop here moves them
    at every step, so the others are left out.
    """
    every_step = [
        item.scheduler
        for item in configs
        if item.interval == "step" and item.frequency == 1 and not item.reduce_on_plateau
    ]
    return every_step[0] if len(configs) == len(every_step) == 1 else None


def _train_step(module: Any, datamodule: Any, trainer: Any) -> Callable[..., Any]:
    """Return the module's `training_step` with the hooks that prepare its batch."""

    def train_step(batch: Any, step: int) -> Any:
        with _attached(module, trainer):
            batch = _transferred(module, datamodule, batch)
            arguments = (batch, step, 0)[: _num_arguments(module.training_step)]
            returned = module.training_step(*arguments)
        return returned.get("loss") if isinstance(returned, Mapping) else returned

    return train_step


def _num_arguments(training_step: Callable[..., Any]) -> int:
    return len(inspect.signature(training_step).parameters)


def _transferred(module: Any, datamodule: Any, batch: Any) -> Any:
    """Pass a batch through the transfer hooks; the data module's own ones come first."""
    base = _base(datamodule, "LightningDataModule")
    hooks = {
        "on_before_batch_transfer": (0,),
        "transfer_batch_to_device": (module.device, 0),
        "on_after_batch_transfer": (0,),
    }
    for name, arguments in hooks.items():
        is_own = base and getattr(type(datamodule), name) is not getattr(base, name)
        batch = getattr(datamodule if is_own else module, name)(batch, *arguments)
    return batch
