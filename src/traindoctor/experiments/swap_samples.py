"""Does a sample's output change with the other samples of its batch?"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab, seed_everything
from traindoctor.experiments.model_call import ModelCall, first_call
from traindoctor.instruments.flow import operation_name
from traindoctor.instruments.modules import tensors_of
from traindoctor.target.batches import batch_size, copy_batch, leaves, map_tensors
from traindoctor.target.loaders import as_dataloader
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place, Trace

if TYPE_CHECKING:
    import torch

FEWEST_SAMPLES = 3
MOST_OPERATIONS = 10_000
ROUNDING = 1e-6  # of a value's size
SAME = 1e-3  # of what tells two samples apart: rounding, in sums of another order

# The first sample may be all right where each depends on those before it, as in a recurrence.
STAYS, OTHERS = 1, (0, 2)

# The first and the second sample's part of a tensor, by the axis that may count samples.
Parts = dict[int, tuple["torch.Tensor", "torch.Tensor"]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one operation returned, as far as it is the first two samples'."""

    operation: str
    place: Place
    module: str
    parts: Parts
    is_learned: bool = False  # a parameter had a part in it, or in what came before
    given: tuple[int, ...] = ()  # shape of the first tensor that it was given


@dataclass(frozen=True)
class SwapSamples(Experiment):
    """The model called in eval mode on one batch, and on the same with all but one sample replaced.

    Facts: `batch_size`; `apart`, how far the outputs of two samples are from each other, as a share
    of their size, with the operation behind which no result tells the two apart (`merged_by`, its
    `merged_place` and `merged_module`, and whether a parameter came before it,
    `merged_by_model`); `change`, the largest difference in the outputs of the
    sample that stayed, as a share of what tells it from another's; where that is not rounding, also
    the first `operation` whose result changed, its `place`, the `module` that was running, and the
    shape that it was `given`. None of these where nothing can be said.
    """

    name: ClassVar[str] = "swap-samples"
    cost: ClassVar[int] = 2

    def run(self, lab: Lab) -> Trace:
        """Return the facts."""
        setup = lab.anatomy.facts
        call = first_call(lab)
        number = _samples_of(lab, call) if call is not None else None
        if call is None or number is None or _looks_at_the_batch(lab.setup.model):
            return Trace(setup=setup)
        lab.setup.model.eval()
        outputs, seen = _called(lab, call, number, list(range(number)))
        if any(len(parts) > 1 for parts in outputs):  # an axis of time may be as long
            call, number = _fewer(call, number)
            outputs, seen = _called(lab, call, number, list(range(number)))
        again, _ = _called(lab, call, number, list(range(number)))
        noise = _changes(outputs, again)
        if not noise or max(noise) > SAME:
            return Trace(setup=setup)  # it draws noise of its own, or returns nothing a sample
        change, swapped_seen = 0.0, seen
        for other in OTHERS:
            order = [STAYS if n == STAYS else other for n in range(number)]
            swapped, its = _called(lab, call, number, order)
            least = min(_changes(outputs, swapped), default=0.0)
            if least > change:
                change, swapped_seen = least, its
        facts: dict[str, Any] = {"batch_size": number, "change": change}
        facts |= {"apart": max((_apart(parts) for parts in outputs), default=None)}
        facts |= _last_apart(seen)
        if change > SAME:
            facts |= _first_mixed(seen, swapped_seen)
        return Trace(setup=setup, modules=lab.anatomy.modules, facts=facts)


def _samples_of(lab: Lab, call: ModelCall) -> int | None:
    """Return how many samples the first axis of every argument counts, where that is certain."""
    import torch

    loader = as_dataloader(lab.setup.loader)
    number = batch_size(call.batch)
    if loader is None or number is None or number < FEWEST_SAMPLES or loader.batch_size != number:
        return None
    given = [tensor for tensor in call.tensors if tensor.ndim]
    served = [tensor for _, tensor in leaves(call.batch)]
    is_as_served = any(
        a.shape == b.shape and torch.equal(a.cpu(), b.cpu()) for a in given for b in served
    )
    return number if is_as_served and all(len(t) in (1, number) for t in given) else None


def _fewer(call: ModelCall, number: int) -> tuple[ModelCall, int]:
    """Return the call with so few samples that no other axis of its arguments is as long."""
    others = {length for tensor in call.tensors for length in tensor.shape[1:]}
    fewer = next((n for n in (11, 7, 5, 4, 3) if n < number and n not in others), number)

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        return tensor[:fewer] if tensor.ndim and len(tensor) == number else tensor

    args, kwargs = map_tensors((call.args, call.kwargs), cut)
    return ModelCall(args, kwargs, call.batch), fewer


def _looks_at_the_batch(model: torch.nn.Module) -> bool:
    """Tell a model with a normalisation that takes its statistics from the batch even in eval."""
    return any(
        getattr(module, "track_running_stats", True) is False
        and "BatchNorm" in type(module).__name__
        for module in model.modules()
    )


def _called(
    lab: Lab, call: ModelCall, number: int, order: list[int]
) -> tuple[list[Parts], list[Seen]]:
    """Call the model on samples in some order; return its outputs and what each operation gave."""
    import torch

    given = map_tensors(
        copy_batch((call.args, call.kwargs)),
        lambda tensor: tensor[order] if tensor.ndim and len(tensor) == number else tensor,
    )
    seed_everything()
    with torch.no_grad(), _operations_seen(lab, number) as seen:
        try:
            output = lab.setup.model(*given[0], **given[1])
        except Exception:  # a model that cannot be called in eval mode says nothing
            return [], seen
    return [_parts(tensor, number) for tensor in tensors_of(output)], seen


@contextmanager
def _operations_seen(lab: Lab, number: int) -> Iterator[list[Seen]]:
    """Collect the first two samples' parts of each operation's result."""
    from torch import nn
    from torch.overrides import TorchFunctionMode

    seen: list[Seen] = []
    running: list[str] = [""]
    learned = False

    class Seeing(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]  # as torch has it
            nonlocal learned
            output = func(*args, **(kwargs or {}))
            learned = learned or any(isinstance(arg, nn.Parameter) for arg in args)
            given = next((tuple(tensor.shape) for tensor in tensors_of(args, depth=1)), ())
            for tensor in tensors_of(output, depth=1) if len(seen) < MOST_OPERATIONS else ():
                parts = _parts(tensor, number)
                place = user_place(sys._getframe(1)) if parts else Place()
                seen.append(Seen(operation_name(func), place, running[-1], parts, learned, given))
            return output

    def leave(*_: Any) -> None:
        running.pop()

    handles = []
    for path, module in lab.setup.model.named_modules():
        handles += [
            module.register_forward_pre_hook(lambda *_, path=path: running.append(path)),
            module.register_forward_hook(leave, always_call=True),
        ]
    try:
        with Seeing():
            yield seen
    finally:
        for handle in handles:
            handle.remove()


def _parts(tensor: torch.Tensor, number: int) -> Parts:
    if not tensor.is_floating_point():
        return {}
    value = tensor.detach()
    return {
        axis: (value.select(axis, 0).float().clone(), value.select(axis, STAYS).float().clone())
        for axis, length in enumerate(tensor.shape)
        if length == number
    }


def _changes(outputs: list[Parts], others: list[Parts]) -> list[float]:
    """Return how far the part of the sample that stayed moved in each output.

    One with two axes that may count samples, such as the scores of all pairs, may be any mixture.
    """
    found = []
    for one, other in zip(outputs, others, strict=False):
        change = _change(one, other)
        if change is not None and (len(one) == 1 or change <= SAME):
            found.append(change)
    return found


def _change(one: Parts, other: Parts) -> float | None:
    """Return how far the part of the sample that stayed moved, by the axis of the least move.

    As a share of what tells it from the first sample's; None where no axis counts samples.
    """
    return min((_share(*one[a], other[a][STAYS]) for a in one if a in other), default=None)


def _share(first: torch.Tensor, stayed: torch.Tensor, swapped: torch.Tensor) -> float:
    if stayed.shape != swapped.shape or not stayed.numel():
        return 0.0
    apart = float((stayed - first).abs().max())
    moved = float((stayed - swapped).abs().max())
    return moved / apart if apart > 0 and math.isfinite(moved / apart) else 0.0


def _apart(parts: Parts) -> float:
    """Return how far two samples are from each other, as a share of their size.

    Of several axes that may count samples, the one on which they are nearest to each other.
    """
    shares = [
        float((first - second).abs().max()) / max(float(first.abs().max()), 1e-12)
        for first, second in parts.values()
        if first.numel()
    ]
    return min(shares, default=0.0)


def _last_apart(seen: list[Seen]) -> dict[str, Any]:
    """Return the operation behind the last one whose result tells two samples apart."""
    told = [one for one in seen if one.parts]
    last = max((i for i, one in enumerate(told) if _apart(one.parts) > ROUNDING), default=-1)
    if not 0 <= last < len(told) - 1:
        return {}
    next_one = told[last + 1]
    return {
        "merged_by": next_one.operation,
        "merged_place": next_one.place,
        "merged_module": next_one.module,
        "merged_by_model": next_one.is_learned,
    }


def _first_mixed(seen: list[Seen], swapped: list[Seen]) -> dict[str, Any]:
    """Return the first operation whose result changed for the sample that stayed."""
    for one, other in zip(seen, swapped, strict=False):
        if (_change(one.parts, other.parts) or 0.0) > SAME:
            facts = {"operation": one.operation, "place": one.place, "module": one.module}
            return facts | {"given": one.given}
    return {}
