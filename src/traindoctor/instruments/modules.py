"""Records module calls: order, modes, shapes and kinds of output, and who was running."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.anatomy import Anatomy
from traindoctor.instruments.recorder import BATCH, Recorder
from traindoctor.target.fingerprints import fingerprint
from traindoctor.target.usercode import user_place
from traindoctor.trace import ModuleRow, Place

if TYPE_CHECKING:
    import torch

MOST_INPUTS = 16  # calls of the whole model whose inputs are told apart
# Keys of a graph node's metadata: the outermost module inside the model whose output it made.
MODULE = "traindoctor.module"


@dataclass(slots=True)
class _Seen:
    order: int
    calls: int = 0
    training: int = 0
    without_grad: int = 0
    kind: str = ""
    keywords: tuple[str, ...] = ()
    inputs: tuple[tuple[int, ...], ...] = ()
    outputs: tuple[tuple[int, ...], ...] = ()
    requires_grad: bool | None = None
    last: Any = None  # tensors of the last output, for asking the graph about them
    place: Place = Place()
    mode: bool | None = None  # of its last call with gradients since the last backward pass
    modes: list[bool] = field(default_factory=list)


class ModuleCalls:
    """Hooks on every module of one model; `rows()` gives what they saw."""

    def __init__(self, recorder: Recorder, anatomy: Anatomy, keep_outputs: bool = False) -> None:
        self.recorder, self.anatomy, self.keep_outputs = recorder, anatomy, keep_outputs
        self.seen: dict[str, _Seen] = {}

    @contextmanager
    def watching(self) -> Iterator[ModuleCalls]:
        """Install the hooks; they are gone afterwards."""
        handles: list[Any] = []
        try:
            for row in self.anatomy.modules:
                module = self.anatomy.setup.model.get_submodule(row.path)
                enter, leave = self._enter(row), self._leave(row.path)
                handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
                handles.append(module.register_forward_hook(leave))
            self.recorder.on_backward.append(self._note_modes)
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self.recorder.on_backward.clear()

    def hooks(self) -> dict[int, tuple[Any, Any]]:
        """Return what to call before and after each module's call, by its `id`.

        For whoever sees the calls by other means than hooks.
        """
        self.recorder.on_backward.append(self._note_modes)
        return {
            id(self.anatomy.setup.model.get_submodule(row.path)): (
                self._enter(row),
                self._leave(row.path),
            )
            for row in self.anatomy.modules
        }

    def _note_modes(self) -> None:
        """Keep the mode in which each module was called for the backward pass that begins."""
        for seen in self.seen.values():
            if seen.mode is not None:
                seen.modes.append(seen.mode)
                seen.mode = None

    def _enter(self, row: ModuleRow) -> Any:
        path = row.path

        def hook(module: torch.nn.Module, args: Any, kwargs: Any) -> None:
            import torch

            given = [t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor)]
            self.recorder.running.append(
                {
                    "module": path,
                    "module_class": row.class_name,
                    "module_input_shapes": tuple(tuple(t.shape) for t in given),
                    "module_input_dtypes": tuple(
                        str(t.dtype).removeprefix("torch.") for t in given
                    ),
                    "module_attributes": row.attributes,
                    "module_keywords": tuple(kwargs),
                }
            )
            seen = self.seen.get(path)
            if seen is None:
                place = user_place(sys._getframe(1))
                seen = self.seen[path] = _Seen(order=len(self.seen), place=place)
            seen.calls += 1
            seen.training += module.training
            if torch.is_grad_enabled():
                seen.mode = module.training
                if not path:
                    self._note_inputs(args, kwargs)
            else:
                seen.without_grad += 1
                if not path:  # the batch is looked at, and not meant to train
                    self.recorder.facts.setdefault("evaluated_batches", set()).add(
                        self.recorder.batch
                    )
            seen.inputs = tuple(tuple(t.shape) for t in given)
            seen.keywords = tuple(kwargs)

        return hook

    def _note_inputs(self, args: Any, kwargs: Any) -> None:
        """Keep digests of what the model is given in the first batches, with the batch's number."""
        noted = self.recorder.facts.setdefault("model_inputs", [])
        if len(noted) < MOST_INPUTS:
            noted.append((self.recorder.batch, fingerprint((args, kwargs))))

    def _leave(self, path: str) -> Any:
        def hook(_module: torch.nn.Module, _args: Any, output: Any) -> None:
            if self.recorder.running and self.recorder.running[-1]["module"] == path:
                self.recorder.running.pop()
            seen = self.seen[path]
            found = tensors_of(output)
            seen.kind = output_kind(output)
            seen.outputs = tuple(tuple(t.shape) for t in found[:8])
            seen.requires_grad = any(t.requires_grad for t in found) or bool(seen.requires_grad)
            for tensor in found:  # so that a graph node can say whose output it is, and when
                if tensor.grad_fn is not None:
                    about: Any = tensor.grad_fn.metadata  # a dict, whatever the stubs say
                    about[MODULE] = path or about.get(MODULE, "")
                    about.setdefault(BATCH, self.recorder.batch)
            if self.keep_outputs:
                seen.last = found

        return hook

    def rows(self, reached: Sequence[Any] | None = None) -> tuple[ModuleRow, ...]:
        """Return the modules with what their calls showed.

        Args:
            reached: graph nodes that the loss descends from, if they were walked.
        """
        nodes = None if reached is None else set(reached)
        return tuple(self._row(row, nodes) for row in self.anatomy.modules)

    def _row(self, row: ModuleRow, nodes: set[Any] | None) -> ModuleRow:
        seen = self.seen.get(row.path)
        if seen is None:
            return row
        in_graph = None
        if nodes is not None and seen.last is not None:
            in_graph = any(t.grad_fn in nodes for t in seen.last if t.grad_fn is not None)
        return replace(
            row,
            order=seen.order,
            call_place=seen.place,
            modes=tuple(seen.modes),
            num_calls=seen.calls,
            num_calls_training=seen.training,
            num_calls_without_grad=seen.without_grad,
            output_kind=seen.kind,
            keywords=seen.keywords,
            input_shapes=seen.inputs,
            output_shapes=seen.outputs,
            output_requires_grad=seen.requires_grad,
            output_in_graph=in_graph,
        )


def tensors_of(value: Any, depth: int = 3) -> list[torch.Tensor]:
    """Return the tensors in an output, containers and `ModelOutput` included."""
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if depth == 0:
        return []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in tensors_of(item, depth - 1)]
    return []


def output_kind(value: Any) -> str:
    """Return what a forward returned: tensor, tuple, list, dict, a class name, or None."""
    import torch

    if isinstance(value, torch.Tensor):
        return "tensor"
    if type(value) in (tuple, list, dict):
        return type(value).__name__
    return type(value).__name__ if value is not None else "None"
