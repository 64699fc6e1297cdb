"""Follows values through one step: where a tensor leaves the graph, what loss functions get.

A `TorchFunctionMode` sees every torch operation that Python calls (1.1–1.3 × a step, so for a
short experiment only). Three things are read off it:

- **cuts**: operations of the user's code that take a tensor off the graph, and whether the
  values behind the cut reach the loss. Values are followed by tainting: what is computed from
  a cut tensor carries the cut.
- **criteria**: calls of loss functions, with the shapes, ranges and sums of what they were given.
- **operations**: the operations that made a non-finite value, when asked for.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import graph_nodes
from traindoctor.instruments.marks import Marks
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.refused import operands, refuse_bad_index
from traindoctor.target.source import no_grad_place
from traindoctor.target.usercode import is_user_file, place_of
from traindoctor.trace import CutRow, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    import torch

# Operations that end differentiation. Comparisons give masks and are not among them.
CUTS = {
    "detach",
    "detach_",
    "data",
    "item",
    "tolist",
    "numpy",
    "__array__",
    "__float__",
    "argmax",
    "argmin",
    "argsort",
    "long",
    "int",
    "tensor",
    "new_tensor",
}
LEAVES_TORCH = {"item", "tolist", "numpy", "__array__", "__float__"}
ENTERS_TORCH = {"tensor", "as_tensor", "new_tensor", "asarray", "full"}


class Flow:
    """What one step's values did. Feed it operations; ask it about the loss at the end."""

    def __init__(
        self,
        recorder: Recorder,
        names: dict[int, str],
        trainable: Iterable[torch.nn.Parameter],
        listeners: Iterable[Callable[..., None]] = (),
    ) -> None:
        self.recorder, self.names = recorder, names
        self.trainable = {id(p) for p in trainable}
        self.listeners = tuple(listeners)
        self.cuts: list[CutRow] = []
        self.marks = Marks()
        self.outside: set[int] = set()  # cuts whose values left torch and may come back
        self.known: dict[tuple[Any, ...], int] = {}

    @contextmanager
    def watching(self) -> Iterator[Flow]:
        """See every torch function called while inside."""
        import torch
        from torch.overrides import TorchFunctionMode

        flow = self

        class Mode(TorchFunctionMode):
            def __torch_function__(
                self, function: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                name = operation_name(function)
                try:
                    refuse_bad_index(name, args, kwargs or {})
                    output = function(*args, **(kwargs or {}))
                except Exception as error:  # whatever it is, it goes on to the user's code
                    flow.recorder.refused = error, operands(name, _tensors((args, kwargs)))
                    raise
                flow.saw(function, args, kwargs or {}, output)
                return output

        # No mode sees `from_numpy`: it is replaced by name.
        original = torch.from_numpy

        def from_numpy(ndarray: Any) -> torch.Tensor:
            tensor = original(ndarray)
            if flow.outside:
                outside = frozenset(flow.outside)
                flow.marks.put(tensor, outside, outside)
            return tensor

        torch.from_numpy = from_numpy
        try:
            with Mode():
                yield self
        finally:
            torch.from_numpy = original

    def saw(self, function: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Take in one operation."""
        name = operation_name(function)
        if name in _UNINTERESTING:
            return
        inputs = list(_tensors((args, kwargs)))
        carried = self._carried(name, inputs)
        cut = self._cut(name, inputs, output)
        if cut is not None:
            carried |= {cut}
        if name in LEAVES_TORCH:
            self.outside |= carried
        if carried:
            own = frozenset(() if cut is None else (cut,))
            own |= frozenset(self.outside if name in ENTERS_TORCH else ())
            for tensor in _tensors(output):
                self.marks.put(tensor, carried, own | self.marks.in_full(name, inputs, tensor))
        for listener in self.listeners:
            listener(name, function, args, kwargs, output)

    def finish(self, loss: Any) -> tuple[CutRow, ...]:
        """Return the cuts, told apart by whether they reach the loss.

        Args:
            loss: what the step ended with: a tensor, a number, or None.
        """
        import torch

        reached = self.marks.of(loss) if isinstance(loss, torch.Tensor) else set(self.outside)
        without_gradient = not isinstance(loss, torch.Tensor) or not loss.requires_grad
        leaving = {n for n in reached if self.cuts[n].operation in LEAVES_TORCH}
        is_number = not isinstance(loss, torch.Tensor)
        last = max((is_number and leaving) or reached, default=None)
        scaling = frozenset() if is_number else self.marks.scaling(loss)
        return tuple(
            dataclasses.replace(
                cut,
                reaches_loss=number in reached,
                is_output_cut=without_gradient and number == last,
                only_scales=number in scaling,
            )
            for number, cut in enumerate(self.cuts)
        )

    def _carried(self, name: str, inputs: list[torch.Tensor]) -> frozenset[int]:
        carried: frozenset[int] = frozenset()
        for tensor in inputs:
            carried |= self.marks.of(tensor)
        if name in ENTERS_TORCH and not inputs:
            carried |= frozenset(self.outside)
        return carried

    def _cut(self, name: str, inputs: list[torch.Tensor], output: Any) -> int | None:
        import torch

        if name in CUTS and any(t.requires_grad for t in inputs):
            results = list(_tensors(output))
            if any(t.requires_grad for t in results):
                return None
            place = _direct_place(sys._getframe(2))
            if not place:
                return None
            return self._add(name, place, inputs)
        if not torch.is_grad_enabled() and _computes(name):
            used = [t for t in inputs if id(t) in self.trainable or t.requires_grad]
            if used:
                place = _no_grad_place(sys._getframe(2))
                return self._add("no_grad", place, used) if place else None
        return None

    def _add(self, name: str, place: Place, inputs: list[torch.Tensor]) -> int:
        key = (name, place.file, place.line)
        parameters = tuple(sorted(self._parameters(inputs)))
        number = self.known.get(key)
        if number is None:
            number = self.known[key] = len(self.cuts)
            running = self.recorder.running
            module = running[-1]["module"] if running else ""
            shape = tuple(inputs[0].shape) if inputs else ()
            row = CutRow(
                operation=name, place=place, module=module, shape=shape, parameters=parameters
            )
            self.cuts.append(row)
        elif set(parameters) - set(self.cuts[number].parameters):
            merged = tuple(sorted({*self.cuts[number].parameters, *parameters}))
            self.cuts[number] = dataclasses.replace(self.cuts[number], parameters=merged)
        return number

    def _parameters(self, inputs: list[torch.Tensor]) -> set[str]:
        """Name the trainable parameters whose values are in these tensors."""
        found = {
            self.names[id(t)] for t in inputs if id(t) in self.trainable and id(t) in self.names
        }
        for tensor in inputs:
            for node in graph_nodes(tensor.grad_fn):
                leaf = getattr(node, "variable", None)
                if leaf is not None and id(leaf) in self.names:
                    found.add(self.names[id(leaf)])
            for cut in self.marks.of(tensor):
                found |= set(self.cuts[cut].parameters)
        return found


_UNINTERESTING = frozenset(
    [
        "size",
        "dim",
        "shape",
        "device",
        "dtype",
        "is_cuda",
        "requires_grad",
        "grad_fn",
        "grad",
        "is_leaf",
        "__len__",
        "ndim",
        "numel",
        "is_floating_point",
        "is_complex",
        "layout",
        "names",
        "stride",
        "storage_offset",
        "is_contiguous",
        "__hash__",
        "__repr__",
        "__format__",
        "requires_grad_",
        "is_sparse",
        "is_quantized",
        "is_meta",
        "backward",
        "retain_grad",
        "register_hook",
        "element_size",
        "data_ptr",
        "_version",
        "is_nested",
        "get_device",
        "nelement",
        "type",
    ]
)


def operation_name(function: Any) -> str:
    """Return `relu` for `torch.relu`, and `data` for the property `Tensor.data`."""
    name = getattr(function, "__name__", str(function))
    if name in ("__get__", "__set__"):
        return str(getattr(getattr(function, "__self__", None), "__name__", name))
    return str(name)


def _computes(name: str) -> bool:
    return not name.startswith(("is_", "copy_", "zero_", "fill_", "normal_", "uniform_", "_"))


def _tensors(value: Any, depth: int = 3) -> Iterable[torch.Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item, depth - 1)


@lru_cache(maxsize=4096)
def _is_in_between(file: str) -> bool:
    """Tell the frames between an operation and whoever called it: torch's own, and this file's."""
    import torch

    return file == __file__ or file.startswith(os.path.dirname(torch.__file__) + os.sep)


def _direct_place(frame: FrameType | None) -> Place:
    """Return the caller's line if the user's own code called the operation, not a library."""
    while frame is not None and _is_in_between(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None or not is_user_file(frame.f_code.co_filename):
        return Place()
    return place_of(frame)


def _no_grad_place(frame: FrameType | None) -> Place:
    """Return the user's `no_grad` that is lexically around this call, if there is one."""
    while frame is not None:
        file = frame.f_code.co_filename
        if is_user_file(file):
            place = place_of(frame)
            guard = no_grad_place(place.file or "", place.line or 0)
            if guard:
                return guard
        frame = frame.f_back
    return Place()
