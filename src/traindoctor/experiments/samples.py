"""Cuts a batch down to some of its samples."""

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
    size = _num_samples(batch)
    return None if size < number else _cut(batch, _different(batch, size)[:number])


def undisputed_samples(batch: Any) -> Any:
    """Return the batch without samples whose inputs came before with other labels.

    None where there are no such samples, or the batch cannot be cut.
    """
    size = _num_samples(batch)
    inputs, targets = split(batch)
    if not any(True for _ in leaves(targets)):
        return None
    seen: dict[Any, Any] = {}
    kept = []
    for number in range(size):
        given, label = _digest(_sample(inputs, number)), _digest(_sample(targets, number))
        if seen.setdefault(given, label) == label:
            kept.append(number)
    return _cut(batch, kept) if len(kept) < size else None


def _num_samples(batch: Any) -> int:
    """Return what the first axis of every tensor counts, or 0."""
    size = batch_size(batch)
    lengths = {len(tensor) for _, tensor in leaves(batch) if tensor.ndim}
    return size if size is not None and lengths <= {size} else 0


def _cut(batch: Any, chosen: list[int]) -> Any:
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


def _digest(sample: list[torch.Tensor]) -> tuple[Any, ...]:
    import torch

    rows = (tensor.detach().cpu().reshape(-1).contiguous() for tensor in sample)
    return tuple(hash(row.view(torch.uint8).numpy().tobytes()) for row in rows)


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
