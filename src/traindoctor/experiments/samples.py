"""Cuts a batch down to a few of its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traindoctor.target.batches import batch_size, leaves, map_tensors, split

if TYPE_CHECKING:
    import torch


def few_samples(batch: Any, number: int) -> Any:
    """Return the batch with so many of its samples, or None where it cannot be cut.

    Samples are what the first axis of every tensor counts. The first sample is kept, then
    those whose inputs and labels both differ from all kept so far, then any.
    """
    size = batch_size(batch)
    tensors = [tensor for _, tensor in leaves(batch)]
    if size is None or size < number or any(t.ndim and len(t) != size for t in tensors):
        return None
    chosen = _different(batch, size)[:number]
    return map_tensors(batch, lambda tensor: tensor[chosen] if tensor.ndim else tensor)


def standardised(batch: Any) -> Any:
    """Return the batch with its floating-point inputs at mean 0 and standard deviation 1.

    Of tensors (batch, features) and (batch, channels, …) that is done for each feature or channel,
    of (batch, time, features) for each feature; one that does not vary becomes 0.
    """
    _, targets = split(batch)
    kept = {id(tensor) for _, tensor in leaves(targets)}

    def scaled(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in kept or not tensor.is_floating_point() or tensor.ndim < 2:
            return tensor
        own = 2 if tensor.ndim == 3 else 1
        axes = [axis for axis in range(tensor.ndim) if axis != own]
        mean, std = tensor.mean(axes, keepdim=True), tensor.std(axes, keepdim=True)
        return (tensor - mean) / std.clamp(min=1e-12 + 1e-6 * float(std.max()))

    return map_tensors(batch, scaled)


def _different(batch: Any, size: int) -> list[int]:
    """Return the samples' numbers, first those whose inputs and labels are both new."""
    inputs, targets = split(batch)
    seen: list[tuple[list[torch.Tensor], list[torch.Tensor]]] = []
    first, others = [], []
    for number in range(size):
        given, label = _sample(inputs, number), _sample(targets, number)
        if any(_same(given, its) or (label and _same(label, other)) for its, other in seen):
            others.append(number)
        else:
            first.append(number)
            seen.append((given, label))
    return first + others


def _sample(part: Any, number: int) -> list[torch.Tensor]:
    return [tensor[number] for _, tensor in leaves(part) if tensor.ndim]


def _same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(bool((a == b).all()) for a, b in zip(one, other, strict=True))
