"""One tensor as it was: its identity, its memory, its gradient, its hooks and its bits."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from traindoctor.target.valueless import has_values

if TYPE_CHECKING:
    import torch

__all__ = ["Copy", "TensorState"]

SAMPLE_ELEMENTS = 64
_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


class Copy:
    """The bits of one piece of memory, and the way back; nothing is copied before `keep`."""

    def __init__(self, data: torch.Tensor) -> None:
        self.source = _without_repeats(data)
        self._kept: torch.Tensor | None = None

    @property
    def size(self) -> int:
        """Bytes that there are to copy."""
        import torch

        source = self.source
        if source.layout is not torch.strided:
            source = source._values() if source.layout is torch.sparse_coo else source.values()
        return source.numel() * source.element_size()

    @property
    def num_bytes(self) -> int:
        """Memory that the copy takes."""
        return 0 if self._kept is None else self.size

    @property
    def is_plain(self) -> bool:
        """Whether its bits are all there is to it, in memory of this process."""
        import torch

        source = self.source
        is_odd = source.is_nested or source.is_quantized or source.is_conj() or source.is_neg()
        return type(source) is torch.Tensor and source.layout is torch.strided and not is_odd

    def keep(self) -> None:
        """Copy the bits, in memory."""
        self._kept = self.source.clone()

    def write_back(self) -> None:
        """Write the bits where they came from, if they were kept here."""
        import torch

        if self._kept is not None:
            with torch.no_grad():
                self.source.copy_(self._kept)


class TensorState:
    """A tensor's binding to memory, flags, gradient and hooks.

    Args:
        tensor: what is remembered.
        copies: where its bits are copied to, shared by all that lie in the same memory;
            None if they are not to be copied but watched.
    """

    def __init__(self, tensor: torch.Tensor, copies: dict[Any, Copy] | None) -> None:
        from torch.nn.parameter import is_lazy

        self._tensor, self._kind = tensor, type(tensor)
        self._data = tensor.data
        self._requires_grad, self._is_leaf = tensor.requires_grad, tensor.is_leaf
        self._grad = tensor.grad if tensor.is_leaf else None
        self._hooks = {name: getattr(tensor, name, None) for name in _HOOKS}
        self._namespace = getattr(tensor, "__dict__", {})
        self._watched = None if copies is not None else _fingerprint(tensor)
        if copies is not None and not is_lazy(tensor) and has_values(tensor):
            key = _memory_key(self._data)
            if key not in copies:
                copies[key] = Copy(self._data)

    @property
    def parts(self) -> list[Any]:
        """What else is to be remembered: the gradient, hooks and python attributes."""
        return [self._grad, *self._hooks.values(), self._namespace]

    def rebind(self) -> None:
        """Make the tensor stand for its old memory again, with its old gradient and hooks."""
        from torch.nn.parameter import is_lazy

        tensor = self._tensor
        if type(tensor) is not self._kind:
            tensor.__class__ = self._kind
        if not is_lazy(tensor) and not _is_bound_to(tensor, self._data):
            tensor.data = self._data
        if self._is_leaf:
            if tensor.requires_grad != self._requires_grad:
                tensor.requires_grad_(self._requires_grad)
            if tensor.grad is not self._grad:
                tensor.grad = self._grad
        for name, hooks in self._hooks.items():
            if getattr(tensor, name, None) is not hooks:
                setattr(tensor, name, hooks)

    @property
    def has_changed(self) -> bool:
        """Whether a watched tensor was written to, as far as can be seen."""
        import torch

        if self._watched is None:
            return False
        version, sample = self._watched
        now_version, now_sample = _fingerprint(self._tensor)
        return now_version != version or not torch.equal(sample, now_sample)


def _is_bound_to(tensor: torch.Tensor, data: torch.Tensor) -> bool:
    return _memory_key(tensor.data) == _memory_key(data)


def _memory_key(data: torch.Tensor) -> Hashable:
    """Name the memory that a tensor stands for; each odd layout is a piece of its own."""
    import torch

    if (
        data.layout is not torch.strided
        or data.is_nested
        or not (data.numel() and has_values(data))
    ):
        return id(data)
    return (
        data.data_ptr(),
        data.device,
        data.dtype,
        tuple(data.shape),
        data.stride(),
    )


def _without_repeats(data: torch.Tensor) -> torch.Tensor:
    """Drop the repeats of an expanded tensor, which cannot be written to as a whole."""
    import torch

    if data.layout is not torch.strided or data.is_nested:
        return data
    for axis, stride in enumerate(data.stride()):
        if stride == 0 and data.shape[axis] > 1:
            data = data.narrow(axis, 0, 1)
    return data


def _fingerprint(tensor: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Return a version counter and the bits of a few elements.

    The counter sees in-place operations; the sample also those through `.data`.
    """
    import torch

    version = 0 if tensor.is_inference() else tensor._version
    if tensor.layout is not torch.strided or not has_values(tensor) or not tensor.numel():
        return version, torch.empty(0)
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    stride = max(1, tensor.numel() // SAMPLE_ELEMENTS)
    sample = tensor.detach().flatten()[::stride].contiguous()
    return version, sample.view(torch.uint8).clone()
