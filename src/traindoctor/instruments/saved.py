"""Weighs what a step keeps for its backward pass, and what some of its modules keep of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import graph_nodes
from traindoctor.instruments.modules import tensors_of

if TYPE_CHECKING:
    import torch


class Saved:
    """Bytes kept for backward, a storage once; parameters are there anyway and do not count.

    Args:
        modules: those that are weighed, by path.
        parameters: of the model.

    Attributes:
        step: bytes of the whole step.
        inside: bytes by module.
        calls: the first call of each module, as (args, kwargs).
        leaves: ids of the tensors that its outputs descend from and that collect gradients.
    """

    def __init__(
        self, modules: Mapping[str, torch.nn.Module], parameters: Iterator[torch.Tensor]
    ) -> None:
        self.modules = modules
        self.counted = {p.untyped_storage().data_ptr() for p in parameters}
        self.step = 0
        self.inside = dict.fromkeys(modules, 0)
        self.calls: dict[str, tuple[Any, Any]] = {}
        self.leaves: dict[str, set[int]] = {path: set() for path in modules}
        self._running: list[str] = []
        self._is_open = True

    def close(self) -> None:
        """Count no more: backward frees storages, and others will come to stand in their place."""
        self._is_open = False

    @contextmanager
    def watching(self) -> Iterator[Saved]:
        """Count while inside."""
        import torch

        handles = []
        for path, module in self.modules.items():
            handles.append(module.register_forward_pre_hook(self._enter(path), with_kwargs=True))
            handles.append(module.register_forward_hook(self._leave(path)))
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor):
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if self._is_open and storage.data_ptr() not in self.counted:
            self.counted.add(storage.data_ptr())
            self.step += storage.nbytes()
            for path in self._running:
                self.inside[path] += storage.nbytes()
        return tensor

    def _enter(self, path: str) -> Any:
        def hook(_module: torch.nn.Module, args: Any, kwargs: Any) -> None:
            self._running.append(path)
            self.calls.setdefault(path, (args, kwargs))

        return hook

    def _leave(self, path: str) -> Any:
        def hook(_module: torch.nn.Module, _args: Any, output: Any) -> None:
            self._running.remove(path)
            for tensor in tensors_of(output):
                for node in graph_nodes(tensor.grad_fn):
                    leaf = getattr(node, "variable", None)
                    if leaf is not None:
                        self.leaves[path].add(id(leaf))

        return hook
