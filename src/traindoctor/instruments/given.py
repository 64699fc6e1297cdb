"""Describes what a loss function is given."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BY_CLASS = {"cross_entropy", "nll_loss"}


def arguments(function: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return what a loss function is called with, by name, defaults included."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # written in C: positions are all there is
        return {**dict(zip(("input", "target"), args, strict=False)), **kwargs}
    bound.apply_defaults()
    return dict(bound.arguments)


def prediction_and_target(given: dict[str, Any]) -> tuple[Any, Any]:
    """Return the prediction and the target among the arguments of a loss function."""
    values = list(given.values())
    first = given.get("input", given.get("log_probs", values[0] if values else None))
    target = given.get("target", given.get("targets", values[1] if len(values) > 1 else None))
    return first, target


def input_facts(value: torch.Tensor, name: str) -> dict[str, Any]:
    """Return what a row tells of a prediction."""
    if not value.is_floating_point() or value.numel() == 0:
        return {}
    value = value.float()
    facts: dict[str, Any] = {
        "input_minimum": float(value.min()),
        "input_maximum": float(value.max()),
        "input_share_zero": float((value == 0).float().mean()),
    }
    if value.dim() > 1 and value.shape[0] > 1:
        facts["input_spread"] = float((value.amax(0) - value.amin(0)).max())
    if (name in BY_CLASS or name == "ctc_loss") and value.dim() >= 1:
        axis = -1 if name == "ctc_loss" or value.dim() == 1 else 1
        facts["num_classes"] = value.shape[axis]
        facts["row_sum_error"] = float((value.sum(axis) - 1).abs().max())
        if name in BY_CLASS and value.dim() == 2 and value.shape[0] > 1:
            facts["column_sum_error"] = float((value.sum(0) - 1).abs().max())
    return facts


def blank_facts(given: dict[str, Any]) -> dict[str, Any]:
    """Return what a row tells of the blank of a CTC loss, which no label may be."""
    import torch

    targets, lengths = given.get("targets"), given.get("target_lengths")
    if not isinstance(targets, torch.Tensor) or lengths is None or not targets.numel():
        return {}
    if targets.dim() == 2:
        counts = torch.as_tensor(lengths, device=targets.device)[:, None]
        targets = targets[torch.arange(targets.shape[1], device=targets.device) < counts]
    blank = int(given.get("blank", 0))
    share = float(targets.eq(blank).float().mean()) if targets.numel() else 0.0
    return {"blank": blank, "share_blank": share}


def target_facts(target: torch.Tensor, ignore_index: int | None) -> dict[str, Any]:
    """Return what a row tells of a target."""
    facts: dict[str, Any] = {
        "target_shape": tuple(target.shape),
        "target_dtype": str(target.dtype).removeprefix("torch."),
    }
    if target.numel() == 0 or target.is_complex():
        return facts
    kept = target
    if ignore_index is not None and not target.is_floating_point():
        kept = target[target != ignore_index]
        facts["share_ignored"] = 1 - kept.numel() / target.numel()
    if kept.numel():
        facts["target_minimum"], facts["target_maximum"] = float(kept.min()), float(kept.max())
    return facts
