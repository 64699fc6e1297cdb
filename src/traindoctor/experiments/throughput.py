"""What a device can do: matrix products, a forward, and forwards of larger batches."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from traindoctor.experiments.lab import Lab
from traindoctor.experiments.loop import device_of
from traindoctor.instruments.anatomy import forward_signature
from traindoctor.target.batches import batch_size, copy_batch, map_tensors, to_device
from traindoctor.target.calling import input_arguments

if TYPE_CHECKING:
    import torch

NUM_WARM = 2  # times that are left out before the clock counts
NUM_FORWARDS = 5
GROWTH = (1, 4, 16, 64)  # times the batch
LONG_SECONDS = 0.3  # of a forward: no larger batch is tried


def peak_flops(device: torch.device | None, clock: Callable[[], float]) -> float:
    """Return the most floating-point operations a second seen in a few large matrix products.

    On a GPU in bfloat16, which is the fastest that training commonly uses.
    """
    import torch

    is_cuda = device is not None and torch.device(device).type == "cuda"
    size, dtype = (8192, torch.bfloat16) if is_cuda else (768, torch.float32)
    a = torch.ones(size, size, dtype=dtype, device=device if is_cuda else None)
    best = float("inf")
    for _ in range(5):
        start = clock()
        a @ a
        wait()
        best = min(best, clock() - start)
    return float(2 * size**3 / best)


def settled(seconds: list[float]) -> float | None:
    """Return the median, the first few left out where enough are left."""
    kept = seconds[NUM_WARM:] if len(seconds) > NUM_WARM else seconds
    return statistics.median(kept) if kept else None


def flops_of(act: Callable[[], Any]) -> int | None:
    """Return the floating-point operations of something, or None where they have no count."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        with counter:
            act()
    except Exception:  # some operations have no count, and some modules refuse its hooks
        return None
    return counter.get_total_flops() or None


def forward_alone(lab: Lab, batch: Any, is_claimed: bool) -> dict[str, Any]:
    """Return time and FLOPs of the forward alone, given what of the batch it has names for.

    Where a run is to be judged, also the most samples a second that it makes of larger batches,
    and the size of those; nothing where the model refuses to be called so.
    """
    import torch

    model, device = lab.setup.model, device_of(lab.setup)
    named, _ = forward_signature(model)

    def seconds(part: Any) -> list[float]:
        arguments, keywords = _given(model, to_device(copy_batch(part), device), named)
        times = []
        for _ in range(NUM_FORWARDS):
            start = lab.clock()
            with torch.no_grad():
                model(*arguments, **keywords)
            wait()
            times.append(lab.clock() - start)
        return times

    try:
        found: dict[str, Any] = {"forward_seconds": settled(seconds(batch))}
        if is_claimed:
            found |= _best_rate(batch, seconds)
        arguments, keywords = _given(model, to_device(copy_batch(batch), device), named)
    except Exception:  # the model refuses them: there is nothing to time
        return {}
    with torch.no_grad():
        return found | {"forward_flops": flops_of(lambda: model(*arguments, **keywords))}


def _given(
    model: Any, batch: Any, named: tuple[str, ...]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    arguments, keywords = input_arguments(model, batch)
    return arguments, {key: part for key, part in keywords.items() if key in named}


def _best_rate(batch: Any, seconds: Callable[[Any], list[float]]) -> dict[str, Any]:
    """Return the most samples a second over batches that hold this one several times."""
    size = batch_size(batch)
    best: dict[str, Any] = {}
    for times in GROWTH if size else ():
        least = min(seconds(_repeated(batch, size or 1, times)))
        rate = (size or 1) * times / least
        if rate > best.get("forward_rate", 0.0):
            best = {"forward_rate": rate, "forward_size": (size or 1) * times}
        if least > LONG_SECONDS:
            break
    return best


def _repeated(batch: Any, size: int, times: int) -> Any:
    """Return a batch with its samples several times over."""
    import torch

    def repeat(tensor: torch.Tensor) -> torch.Tensor:
        return torch.cat([tensor] * times) if tensor.ndim and len(tensor) == size else tensor

    return map_tensors(batch, repeat)


def wait() -> None:
    """Let a GPU finish what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
