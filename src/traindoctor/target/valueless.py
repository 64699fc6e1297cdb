"""Tensors that are descriptions only, on the meta device or fake, and models made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["has_values", "is_offloaded", "why_nothing_runs"]


def has_values(tensor: torch.Tensor) -> bool:
    """Tell whether there is memory behind a tensor that could be read."""
    import torch

    if tensor.is_meta:
        return False
    if type(tensor) in (torch.Tensor, torch.nn.Parameter):
        return True
    part = getattr(tensor, "_local_tensor", tensor)  # of a DTensor
    # The class is not imported for this: whoever makes one has done so.
    return not part.is_meta and all(kind.__name__ != "FakeTensor" for kind in type(part).__mro__)


def is_offloaded(model: torch.nn.Module) -> bool:
    """Tell whether accelerate's hooks bring a model's weights from elsewhere."""
    return any(hasattr(module, "_hf_hook") for module in model.modules())


def why_nothing_runs(model: torch.nn.Module) -> str | None:
    """Return why a model cannot be trained here, if there are no values behind its parameters."""
    parameters = [p for p in model.parameters() if p.requires_grad] or list(model.parameters())
    if not parameters or any(map(has_values, parameters)):
        return None
    what = "are on the meta device" if parameters[0].is_meta else "are fake tensors"
    if is_offloaded(model):
        return (
            f"all {len(parameters)} trainable parameters {what}: accelerate has offloaded them and "
            "brings their values for a forward pass alone; nothing can be trained so"
        )
    return (
        f"all {len(parameters)} trainable parameters {what} and have no values: nothing can be run "
        "before they are given some, by `to_empty` and a checkpoint for instance"
    )
