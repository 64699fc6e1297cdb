"""Calls the user's model, loss function, train step and train loop as their signatures ask."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traindoctor.errors import TargetError, TrainDoctorError
from traindoctor.target.batches import kind_of, parts_of, split
from traindoctor.target.setup import ALIASES, TARGET_NAMES
from traindoctor.target.whole_batch import takes, takes_whole

if TYPE_CHECKING:
    from torch import nn

    from traindoctor.target.setup import TrainingSetup

__all__ = [
    "NoLoss",
    "call_by_name",
    "call_model",
    "described_output",
    "find_loss",
    "input_arguments",
    "returned_loss",
]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class NoLoss(TrainDoctorError):
    """Nothing in the outputs is a loss; the message says what they are."""


def call_model(model: nn.Module, batch: Any, setup: TrainingSetup) -> Any:
    """Call the model with a batch as the user's loop would.

    A forward that takes the batch apart itself gets it whole. Else a mapping or dataclass becomes
    keywords. A sequence is `(inputs, targets)` and the model
    gets the inputs, unless its forward asks for the targets too: by needing as many
    arguments as the batch has (and the inputs are not themselves so many, for a `loss_fn` to
    compare with the targets), or, where no `loss_fn` is given, by naming its second
    parameter `targets` or the like. Anything else is the only argument.
    """
    kind = kind_of(batch)
    if kind not in ("tensor", "other") and takes_whole(model.forward, batch):
        return model(batch)
    if kind in ("mapping", "dataclass"):
        return model(**_keywords(batch, _parameters(model.forward), setup))
    if kind != "sequence" or not len(batch):
        return model(batch)
    if _takes_all(model, batch, setup):
        return model(*batch)
    arguments, keywords = input_arguments(model, batch)
    return model(*arguments, **keywords)


def input_arguments(model: nn.Module, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the inputs of a batch as the arguments and keywords that the forward asks for.

    Inputs of several parts are passed one by one, unless the forward takes them apart itself, or
    they are one part of the batch and the forward has one parameter for them.
    """
    inputs, _ = split(batch)
    kind = kind_of(inputs)
    if kind not in ("mapping", "sequence") or takes_whole(model.forward, inputs):
        return (inputs,), {}
    if kind == "mapping":
        return (), dict(inputs)
    is_one_part = kind_of(batch) == "sequence" and len(batch) <= 2
    if is_one_part and takes(model.forward, 1) and not takes(model.forward, len(inputs)):
        return (inputs,), {}
    return tuple(inputs), {}


def _keywords(
    batch: Any, forward: Mapping[str, inspect.Parameter], setup: TrainingSetup
) -> dict[str, Any]:
    """Return the batch as keywords; targets that only the loss function reads are held back."""
    keywords = dict(batch) if isinstance(batch, Mapping) else dict(parts_of(batch))
    takes_anything = any(item.kind is item.VAR_KEYWORD for item in forward.values())
    if setup.loss_fn is not None and not takes_anything:
        for name in TARGET_NAMES:
            if name not in forward:
                keywords.pop(name, None)
    return keywords


def _takes_all(model: nn.Module, batch: Sequence[Any], setup: TrainingSetup) -> bool:
    """Tell whether the forward asks for the targets beside the inputs."""
    number, parameters = len(batch), _parameters(model.forward).values()
    positional = [item for item in parameters if item.kind in _POSITIONAL]
    required = sum(item.default is item.empty for item in positional)
    if required >= number > 1:
        nested = number == 2 and kind_of(batch[0]) == "sequence"
        is_for_inputs = nested and takes(model.forward, len(batch[0]))
        return not is_for_inputs or (required == number and setup.loss_fn is None)
    if setup.loss_fn is not None or not 1 < number <= len(positional):
        return False
    return positional[number - 1].name in TARGET_NAMES


def find_loss(setup: TrainingSetup, outputs: Any, batch: Any) -> tuple[Any, str]:
    """Return the loss and where it was found: loss_fn, outputs.loss, outputs[i] or outputs.

    Raises:
        NoLoss: there is none.
    """
    import torch

    if setup.loss_fn is not None:
        return _call_loss_fn(setup.loss_fn, outputs, batch), "loss_fn"
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if loss is not None:
        return loss, "outputs.loss"
    if isinstance(outputs, torch.Tensor) and _is_loss(outputs):
        return outputs, "outputs"
    if isinstance(outputs, (tuple, list)):
        scalars = [number for number, item in enumerate(outputs) if _is_loss(item)]
        if scalars and (scalars[0] == 0 or len(scalars) == 1):
            return outputs[scalars[0]], f"outputs[{scalars[0]}]"
    raise NoLoss(f"the model's output is {described_output(outputs)}; none of it is a loss")


def returned_loss(returned: Any) -> Any:
    """Return the loss in what a train step gives: itself, its `loss`, or the only one of several.

    None where nothing says which it is: of a loss and an accuracy, either may stand first.
    """
    import torch

    if isinstance(returned, Mapping):
        returned = returned.get("loss")
    elif isinstance(returned, (tuple, list)):
        losses = [item for item in returned if _is_loss(item)]
        returned = getattr(returned, "loss", losses[0] if len(losses) == 1 else None)
    return returned if isinstance(returned, torch.Tensor | int | float) else None


def _is_loss(item: Any) -> bool:
    import torch

    return isinstance(item, torch.Tensor) and item.numel() == 1 and item.requires_grad


def described_output(outputs: Any) -> str:
    """Name an output by its type and fields."""
    import torch

    name = type(outputs).__name__
    if isinstance(outputs, torch.Tensor):
        return f"a tensor of shape {tuple(outputs.shape)}"
    fields = ", ".join(key for key, _ in parts_of(outputs))
    if isinstance(outputs, (tuple, list)):
        return f"a {name} of {len(outputs)}"
    return f"{name} with {fields}" if fields else name


def _call_loss_fn(loss_fn: Callable[..., Any], outputs: Any, batch: Any) -> Any:
    parameters = _parameters(loss_fn)
    positional = [item for item in parameters.values() if item.kind in _POSITIONAL]
    if len(positional) == 1 and len(parameters) == 1:
        return loss_fn(outputs)
    if not wants_targets(loss_fn):
        return loss_fn(outputs, batch)
    _, targets = split(batch)
    if targets is None:
        raise NoLoss(
            f"the loss function {_name(loss_fn)} wants targets, and the batch, "
            f"{described_output(batch)}, names none"
        )
    if _is_torchs(loss_fn):
        outputs = _logits(outputs)
    return loss_fn(outputs, targets)


def wants_targets(loss_fn: Callable[..., Any]) -> bool:
    """Tell `loss_fn(outputs, targets)` from `loss_fn(outputs, batch)` by the second parameter."""
    parameters = _parameters(loss_fn)
    if not parameters:
        return _is_torchs(loss_fn)
    positional = [item for item in parameters.values() if item.kind in _POSITIONAL]
    return len(positional) > 1 and positional[1].name in TARGET_NAMES


def _is_torchs(loss_fn: Any) -> bool:
    """Tell whether a criterion is torch's own, which cannot take a model's output object."""
    from torch import nn

    if isinstance(loss_fn, functools.partial):
        return _is_torchs(loss_fn.func)
    subject = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
    return str(getattr(subject, "__module__", "")).split(".")[0] == "torch"


def _logits(outputs: Any) -> Any:
    if isinstance(outputs, Mapping):
        return outputs.get("logits", outputs)
    return getattr(outputs, "logits", outputs)


def call_by_name(function: Callable[..., Any], available: Mapping[str, Any]) -> Any:
    """Call a train step or train loop with what its parameters name, aliases included.

    One required parameter of an unknown name gets the batch, where there is a batch.

    Raises:
        TargetError: it requires something that cannot be supplied.
    """
    every = _parameters(function).values()
    parameters = [item for item in every if item.kind not in _MANY]
    meant = {item.name: _meant(item.name, available) for item in parameters}
    unknown = [
        item.name
        for item in parameters
        if meant[item.name] not in available and item.default is item.empty
    ]
    if len(unknown) == 1 and "batch" in available and "batch" not in meant.values():
        meant[unknown.pop()] = "batch"
    if unknown or (every and not parameters):  # no parameters at all: a closure over everything
        asks = ", ".join(map(repr, unknown)) or "nothing by name"
        raise TargetError(
            f"{_name(function)} asks for {asks}; what can be passed is {', '.join(available)}"
        )
    known = [item for item in parameters if meant[item.name] in available]
    return function(
        *(available[meant[item.name]] for item in known if item.kind is item.POSITIONAL_ONLY),
        **{
            item.name: available[meant[item.name]]
            for item in known
            if item.kind is not item.POSITIONAL_ONLY
        },
    )


def _meant(name: str, available: Mapping[str, Any]) -> str:
    return name if name in available else ALIASES.get(name, name)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    """Return a callable's parameters; none where it hides them (a builtin)."""
    from torch import nn

    subject = function.forward if isinstance(function, nn.Module) else function
    try:
        return inspect.signature(subject).parameters
    except (TypeError, ValueError):
        return {}


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__
