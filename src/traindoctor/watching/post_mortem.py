"""Replays a module's call whose loss or gradients are not finite, and finds where that began.

The call is replayed once, where it happened: before the weights have changed, with the inputs and
the random state that it had. What it prints is dropped, and what it changes is put back.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import graph_nodes
from traindoctor.instruments.finite import (
    FirstNonFinite,
    saved_range,
    watch_nodes,
)
from traindoctor.instruments.flow import Flow
from traindoctor.instruments.modules import tensors_of
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import map_tensors
from traindoctor.target.history import lines_kept
from traindoctor.target.interpreter import InterpreterState
from traindoctor.target.memory import Memory
from traindoctor.target.source import call_place
from traindoctor.trace import OperationRow, Place

if TYPE_CHECKING:
    import torch
    from torch import nn

# Operations whose derivative is infinite, or no number, where their value is neither.
SINGULAR = {
    "Sqrt": "sqrt",
    "Rsqrt": "rsqrt",
    "Log": "log",
    "Norm": "norm",
    "LinalgVectorNorm": "norm",
    "Acos": "acos",
    "Asin": "asin",
    "Atan2": "atan2",
    "LinalgEigh": "eigh",
    "LinalgSvd": "svd",
    "Std": "std",
}
OUTPUT_IS_FINITE = "output_is_finite"  # a fact: of the call that was replayed
OUTPUT = "traindoctor.output"  # the key of a graph node's metadata: the script was given it
MOST_OUTPUTS, MOST_ELEMENTS = 4, 1 << 22  # whose gradients are kept for one step


@dataclass(slots=True)
class Call:
    """What it takes to call a module again: kept from each call to the next.

    `gradients` holds, by its position, what flowed back into each output.
    """

    module: nn.Module
    args: Any
    kwargs: Any
    random_state: Any
    device_state: Any
    autocast: tuple[bool, Any]
    gradients: dict[int, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def begins(cls, module: nn.Module, args: Any, kwargs: Any) -> Call:
        """Keep what a call is given; no copies are made."""
        import torch

        kind = "cuda" if torch.cuda.is_initialized() else "cpu"  # type: ignore[no-untyped-call]
        return cls(
            module,
            _kept(args),
            _kept(kwargs),
            torch.get_rng_state(),
            torch.cuda.get_rng_state() if kind == "cuda" else None,
            (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)),
        )

    def returns(self, output: Any) -> None:
        """Mark the outputs' graph nodes, and keep what will flow back into the outputs."""
        for number, tensor in enumerate(tensors_of(output)):
            node: Any = tensor.grad_fn
            if node is None:
                continue
            node.metadata[OUTPUT] = True
            if number < MOST_OUTPUTS and tensor.numel() <= MOST_ELEMENTS:
                tensor.register_hook(self._keeping(number))  # type: ignore[no-untyped-call]

    def _keeping(self, number: int) -> Any:
        gradients = self.gradients

        def keep(gradient: torch.Tensor | None) -> None:
            if gradient is not None:  # which a function of its own class may pass back
                gradients[number] = gradient.detach()

        return keep


class Tracer:
    """Says in which module a replay is; stands where an opening stands for the taps."""

    def __init__(self, recorder: Recorder, names: Mapping[int, str]) -> None:
        self.recorder, self.names = recorder, names

    def begins(self, module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        """Take in the call of a module."""
        path = self.names.get(id(module), "")
        self.recorder.running.append({"module": path, "module_class": type(module).__name__})

    def returns(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG002
        """Take in that it returned."""
        self.recorder.running.pop()


def examine_loss(
    call: Call, tracer: Tracer, loss: torch.Tensor, place: Place, seen: FirstNonFinite | None
) -> list[OperationRow]:
    """Return the operation that made a loss NaN or infinite, if it can be found.

    Args:
        call: the module's call that the loss was computed from.
        tracer: knows the modules' names.
        loss: before it is differentiated.
        place: where that happens.
        seen: what was seen of the whole step, if anybody looked.
    """
    if seen is not None and (seen.origin or seen.last_infinite):
        return [row for row in (seen.origin or seen.last_infinite,) if row]
    with _as_it_was(call):
        first = FirstNonFinite(tracer.recorder)
        flow = Flow(tracer.recorder, {}, (), [first])
        with _no_gradients(), flow.watching():
            outputs = tensors_of(call.module(*call.args, **call.kwargs))
    tracer.recorder.facts[OUTPUT_IS_FINITE] = all(bool(t.isfinite().all()) for t in outputs)
    found = first.origin or first.last_infinite
    return [found] if found is not None else list(_in_the_loss(loss, place))


def examine_gradients(
    call: Call, tracer: Tracer, loss_node: Any, place: Place
) -> list[OperationRow]:
    """Return the operation whose backward pass broke a finite gradient, if it can be found.

    Args:
        call: the module's call that the loss was computed from.
        tracer: knows the modules' names.
        loss_node: the graph node of the loss, which was differentiated.
        place: where that happened.
    """
    import torch

    rows: list[OperationRow] = []
    if not all(bool(g.isfinite().all()) for g in call.gradients.values()):
        return list(_behind_the_models(loss_node, place))
    if not call.gradients:
        return rows
    with _as_it_was(call), torch.enable_grad(), lines_kept():
        outputs = tensors_of(call.module(*call.args, **call.kwargs))[:MOST_OUTPUTS]
        pairs = [(outputs[n], g) for n, g in call.gradients.items() if outputs[n].requires_grad]
        parameters = [p for p in call.module.parameters() if p.requires_grad]
        for output, _ in pairs:
            watch_nodes(tracer.recorder, output, rows)
        torch.autograd.grad(
            [output for output, _ in pairs],
            parameters,
            [gradient for _, gradient in pairs],
            allow_unused=True,
        )
    return rows[:1]


def _in_the_loss(loss: torch.Tensor, place: Place) -> Iterator[OperationRow]:
    """Yield the innermost operation behind a loss whose kept input says that it made the NaN."""
    for node in reversed(graph_nodes(loss.grad_fn)):
        kept = saved_range(node)
        name = node.name().partition("Backward")[0]
        if kept and _leaves_the_numbers(name, kept):
            operation = name.lower()
            yield OperationRow(
                operation=operation, kind="nan", place=call_place(operation, place), **kept
            )
            return


def _behind_the_models(node: Any, place: Place) -> Iterator[OperationRow]:
    """Yield the one operation between what modules gave and the loss that can break a gradient."""
    names = {found.name().partition("Backward")[0] for found in _outside_modules(node)}
    suspects = sorted(SINGULAR[name] for name in names if name in SINGULAR)
    if len(suspects) == 1:
        yield OperationRow(
            operation=suspects[0],
            direction="backward",
            kind="nan",
            place=call_place(suspects[0], place),
        )


def _outside_modules(root: Any) -> set[Any]:
    """Return the graph nodes behind a loss, as far as where a module of the script's returned."""
    found: set[Any] = set()
    frontier = [root] if root is not None else []
    while frontier:
        node = frontier.pop()
        if node not in found and OUTPUT not in node.metadata:
            found.add(node)
            frontier += [above for above, _ in node.next_functions if above is not None]
    return found


def _leaves_the_numbers(name: str, kept: Mapping[str, Any]) -> bool:
    """Tell whether an operation on this range is not a number, or infinite."""
    low, high = kept["input_minimum"], kept["input_maximum"]
    if low - low != 0 or high - high != 0:
        return False  # it only passes on what came
    if name in ("Log", "Log2", "Log10", "Sqrt", "Rsqrt"):
        return bool(low < 0 or (low == 0 and name != "Sqrt"))
    if name in ("Div", "Reciprocal"):
        return bool(low <= 0 <= high)
    return bool(name == "Exp" and high > 88)


@contextlib.contextmanager
def _as_it_was(call: Call) -> Iterator[None]:
    """Set the random state of the call, and put everything back afterwards."""
    import torch

    state, memory = InterpreterState.read(), Memory()
    for parameter in call.module.parameters():
        memory.watch(parameter)
    memory.remember(call.module)
    memory.keep()
    is_on, dtype = call.autocast
    kind = "cpu" if call.device_state is None else "cuda"
    torch.set_rng_state(call.random_state)
    if call.device_state is not None:
        torch.cuda.set_rng_state(call.device_state)
    try:
        with (
            torch.autocast(kind, dtype=dtype, enabled=is_on),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        memory.restore()
        state.restore()


def _no_gradients() -> Any:
    import torch

    return torch.no_grad()


def _kept(given: Any) -> Any:
    """Return what a call is given, without the graph behind it."""
    import torch

    if not given:
        return given
    values = given.values() if isinstance(given, dict) else given
    is_plain = all(type(value) is torch.Tensor and not value.requires_grad for value in values)
    return given if is_plain else map_tensors(given, _detached)


def _detached(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach() if tensor.requires_grad else tensor
