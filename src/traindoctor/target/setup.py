"""The setup: what a user hands over to be examined, whatever shape it came in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from traindoctor.errors import TargetError, nearest
from traindoctor.target.failures import running_user_code
from traindoctor.trace import HandledRow, Place

if TYPE_CHECKING:
    from torch import nn

    from traindoctor.target.checkpoints import Checkpoints
    from traindoctor.target.transfers import Transfers

__all__ = ["ALIASES", "NAMES", "TARGET_NAMES", "TrainingSetup", "a_kind", "as_setup"]

ALIASES = {
    "train_loader": "loader",
    "dataloader": "loader",
    "data_loader": "loader",
    "train_dataloader": "loader",
    "criterion": "loss_fn",
    "opt": "optimizer",
    "optim": "optimizer",
    "sched": "scheduler",
    "lr_scheduler": "scheduler",
    "inputs": "batch",
    "data": "batch",
}
"""What people call things, and what this project calls them."""

TARGET_NAMES = ("labels", "label", "targets", "target", "y")
"""Names under which a batch or a signature holds the targets, in the order they are tried."""


@dataclass(kw_only=True, eq=False)
class TrainingSetup:
    """A training program in parts; only `model` and `loader` are required.

    `loss_fn` is called as `loss_fn(outputs, batch)`, or as `loss_fn(outputs, targets)` where
    it is a torch criterion or its second parameter says so. The parameters of `train_step`
    and `train_loop` are passed by name. `optimizer` may be a list or tuple of optimizers.

    The last fields are set by whoever loads or adapts the setup: `reference` is what the
    user named, `kind` the shape it came in (setup, tuple, dict, Trainer or Lightning), and
    `only_loss` says that `train_step` computes the loss and leaves backward and step to the
    loop. `built_at` holds the user's line for optimizers and modules, by `id`, where it was seen;
    `handled` what the user's handlers caught while the setup was made, `checkpoints` what was
    read then, and `transfers` what modules loaded.
    `trainer` is the `transformers.Trainer` that it came as.
    """

    model: nn.Module
    loader: Iterable[Any]
    optimizer: Any = None
    loss_fn: Callable[..., Any] | None = None
    scheduler: Any = None
    scaler: Any = None
    train_step: Callable[..., Any] | None = None
    train_loop: Callable[..., Any] | None = None
    validation_loader: Iterable[Any] | None = None
    accumulation_steps: int = 1
    max_grad_norm: float | None = None
    epochs: int | None = None
    device: Any = None
    reference: str = ""
    kind: str = "setup"
    factory: Place = Place()
    only_loss: bool = False
    built_at: Mapping[int, Place] = field(default_factory=dict)
    handled: tuple[HandledRow, ...] = ()
    checkpoints: Checkpoints | None = None
    transfers: Transfers | None = None
    trainer: Any = None

    @property
    def optimizers(self) -> tuple[Any, ...]:
        """The optimizers, none, one or several."""
        if self.optimizer is None:
            return ()
        if isinstance(self.optimizer, (list, tuple)):
            return tuple(self.optimizer)
        return (self.optimizer,)


NAMES = tuple(
    item.name
    for item in fields(TrainingSetup)
    if item.name
    not in (
        "reference",
        "kind",
        "factory",
        "only_loss",
        "built_at",
        "handled",
        "checkpoints",
        "transfers",
        "trainer",
    )
)
"""The names that a dict target may use."""


def as_setup(
    returned: object,
    *,
    reference: str = "",
    factory: Place = Place(),
) -> TrainingSetup:
    """Turn what a factory returned into a setup.

    Args:
        returned: a `TrainingSetup`, `(model, loader[, optimizer[, loss_fn]])`, a dict with
            the same names, a `transformers.Trainer`, or a Lightning module with its data.
        reference: what the user named, for messages and the report.
        factory: where the factory is defined.

    Raises:
        TargetError: it is something else, or a part of it is; one sentence says which.
    """
    who = f"{reference!r}" if reference else "the target"
    with running_user_code(f"looking at what {who} returned"):  # which may be of any make
        setup = _assembled(returned, who)
        _check(setup, who)
    return replace(setup, reference=reference or setup.reference, factory=factory or setup.factory)


def _assembled(returned: object, who: str) -> TrainingSetup:
    """Recognise the shape and assemble the parts, not yet checked."""
    from traindoctor.target.adapters import lightning, trainer

    if isinstance(returned, TrainingSetup):
        return returned
    if returned is None:
        raise TargetError(f"{who} returned None; did you forget `return`?")
    if trainer.is_trainer(returned):
        return trainer.adapt(returned)
    if lightning.is_module(returned):
        return lightning.adapt(returned, None, {})
    if isinstance(returned, Mapping):
        return _from_mapping(returned, who)
    if isinstance(returned, (tuple, list)):
        return _from_sequence(returned, who)
    raise TargetError(
        f"{who} returned {a_kind(returned)}; return a TrainingSetup, (model, loader), "
        "a dict with 'model' and 'loader', a transformers.Trainer, or a Lightning module "
        "with its data"
    )


def _from_mapping(parts: Mapping[Any, Any], who: str) -> TrainingSetup:
    from traindoctor.target.adapters import lightning

    for name in parts:
        if name not in NAMES:
            meant = ALIASES.get(name)
            hint = f"; did you mean {meant!r}?" if meant in NAMES else nearest(str(name), NAMES)
            raise TargetError(f"{who} returned a dict with the unknown key {name!r}{hint}")
    for name in ("model", "loader"):
        if name not in parts:
            raise TargetError(f"{who} returned a dict without {name!r}; it has {', '.join(parts)}")
    if lightning.is_module(parts["model"]):
        others = {key: part for key, part in parts.items() if key not in ("model", "loader")}
        return lightning.adapt(parts["model"], parts["loader"], others)
    return TrainingSetup(**parts, kind="dict")


def _from_sequence(parts: tuple[Any, ...] | list[Any], who: str) -> TrainingSetup:
    from traindoctor.target.adapters import lightning

    if not 2 <= len(parts) <= 4:
        raise TargetError(
            f"{who} returned {len(parts)} things, {', '.join(a_kind(part) for part in parts)}; "
            "return (model, loader), (model, loader, optimizer) or "
            "(model, loader, optimizer, loss_fn)"
        )
    named = dict(zip(("model", "loader", "optimizer", "loss_fn"), parts, strict=False))
    if lightning.is_module(parts[0]):
        return _from_mapping(named, who)
    return TrainingSetup(**named, kind="tuple")


def _check(setup: TrainingSetup, who: str) -> None:
    """Refuse parts that cannot be what they are named, in one sentence each."""
    from torch import Tensor, nn

    if isinstance(setup.model, type):
        raise TargetError(f"{who}: the model is the class {setup.model.__name__}; call it")
    if not isinstance(setup.model, nn.Module):
        raise TargetError(f"{who}: the model is {a_kind(setup.model)}, not a torch.nn.Module")
    for path, parameter in setup.model.named_parameters():
        if not isinstance(parameter, Tensor):
            raise TargetError(f"{who}: the model's parameter {path} is {a_kind(parameter)}")
    for optimizer in setup.optimizers:
        if isinstance(optimizer, type) or not hasattr(optimizer, "param_groups"):
            raise TargetError(f"{who}: the optimizer is {a_kind(optimizer)}, not a torch optimizer")
    for name in ("loss_fn", "train_step", "train_loop"):
        part = getattr(setup, name)
        if part is not None and (not callable(part) or _is_criterion_class(part)):
            raise TargetError(f"{who}: {name} is {a_kind(part)}; it must be something to call")
    steps = setup.accumulation_steps
    if not isinstance(steps, int) or steps < 1:
        raise TargetError(f"{who}: accumulation_steps is {steps!r}; it must be 1 or more")
    for name in ("epochs", "max_grad_norm"):
        number = getattr(setup, name)
        if number is not None and not isinstance(number, int | float):
            raise TargetError(f"{who}: {name} is {a_kind(number)}; it must be a number")
    _check_loader(setup.loader, "loader", who)
    if setup.validation_loader is not None:
        _check_loader(setup.validation_loader, "validation_loader", who)


def _check_loader(loader: Any, name: str, who: str) -> None:
    if isinstance(loader, Iterable) and not isinstance(loader, (str, bytes, type)):
        return
    hint = "; wrap it in a DataLoader" if hasattr(loader, "__getitem__") else ""
    raise TargetError(f"{who}: the {name} is {a_kind(loader)}, which yields no batches{hint}")


def _is_criterion_class(part: Any) -> bool:
    from torch import nn

    return isinstance(part, type) and issubclass(part, nn.Module)


def a_kind(thing: object) -> str:
    """Name a thing by its type: `a DataLoader`, `the class Adam`."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    name = type(thing).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
