"""Is a batch that was learned in train mode also right in eval mode?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

NUM_PASSES = 100  # in which running statistics follow weights that no longer move
WRONG = 0.5  # of the way from the floor to where training began
ALMOST = 0.05  # of the statistics' old values that may be left


def in_both_modes(
    model: nn.Module,
    loss: Callable[[], float | None],
    start: float,
    floor: float,
    has_time: Callable[[], bool],
) -> dict[str, Any]:
    """Return the loss in eval mode, and what it takes to make it right.

    Args:
        model: has learned a batch.
        loss: of that batch, in the mode that the model is in, without a step.
        start: the loss before it was learned.
        floor: what it cannot go below.
        has_time: asked before each pass that lets running statistics follow.

    Returns:
        `at_once`, the loss in eval mode; `settled`, the same once running statistics have followed
        the weights; `culprits`, paths of the modules that make it wrong: those which make it right
        by going back to train mode; `kind`, their class, or "own" where it is none of torch's
        batch norms and dropouts; `has_settled`, whether the statistics could follow.
    """
    edge = floor + WRONG * (start - floor)
    model.eval()
    at_once = loss()
    facts: dict[str, Any] = {"at_once": at_once, "settled": at_once, "culprits": (), "kind": ""}
    if at_once is None or not at_once > edge:
        return facts
    facts["has_settled"] = _settle(model, loss, has_time)
    model.eval()
    facts["settled"] = loss()
    if facts["settled"] is None or not facts["settled"] > edge:
        return facts
    for kind, modules in (("BatchNorm", _norms(model)), ("Dropout", _named(model, "Dropout"))):
        if modules and _is_right(model, modules, loss, edge):
            return facts | {"culprits": tuple(modules), "kind": kind}
    own = {
        path: module
        for path, module in model.named_modules()
        if not type(module).__module__.startswith("torch.")
    }
    if own and _is_right(model, own, loss, edge):
        return facts | {"culprits": tuple(path for path in own if path), "kind": "own"}
    return facts


def _settle(
    model: nn.Module, loss: Callable[[], float | None], has_time: Callable[[], bool]
) -> bool:
    """Let running statistics follow the weights; tell whether they could.

    A running variance is that of a population, larger than the batch's own by n / (n - 1): with
    few values to a channel that alone makes eval mode wrong, and says nothing of larger batches.
    """
    norms, counts = _norms(model), dict[str, int]()

    def count(path: str, given: Any) -> None:
        counts[path] = given.numel() // max(given.shape[1], 1)

    hooks = [
        norm.register_forward_pre_hook(lambda _, given, path=path: count(path, given[0]))
        for path, norm in norms.items()
    ]
    model.train()
    passes = 0
    while passes < NUM_PASSES and has_time():
        loss()
        passes += 1
    for hook in hooks:
        hook.remove()
    for path, norm in norms.items():
        number = counts.get(path, 0)
        if number > 1 and getattr(norm, "momentum", 0) != 0:
            norm.running_var.mul_((number - 1) / number)  # type: ignore[operator]  # a tensor
    return all(_follows(norm, passes) for norm in norms.values())


def _is_right(
    model: nn.Module, modules: dict[str, nn.Module], loss: Callable[[], float | None], edge: float
) -> bool:
    """Tell whether the loss is right with only these modules back in train mode."""
    model.eval()
    for module in modules.values():
        module.training = True
    value = loss()
    model.eval()
    return value is not None and math.isfinite(value) and value <= edge


def _norms(model: nn.Module) -> dict[str, nn.Module]:
    found = _named(model, "BatchNorm")
    return {path: m for path, m in found.items() if getattr(m, "running_mean", None) is not None}


def _named(model: nn.Module, word: str) -> dict[str, nn.Module]:
    return {path: m for path, m in model.named_modules() if word in type(m).__name__}


def _follows(norm: nn.Module, passes: int) -> bool:
    """Tell whether so many passes replace the statistics; a momentum of 0 never does, by fault."""
    momentum = getattr(norm, "momentum", None)
    if momentum is None:  # a mean over all passes, those of the training included
        return False
    return bool(momentum == 0 or (1 - momentum) ** passes <= ALMOST)
