"""Which operations are given the labels of a batch?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.criteria import SHAPES
from traindoctor.instruments.recorder import here
from traindoctor.trace import Place

if TYPE_CHECKING:
    import torch

MOVES = SHAPES | {
    "__get__",
    "size",
    "dim",
    "cpu",
    "cuda",
    "long",
    "detach",
    "numel",
    "requires_grad_",
}


class Uses:
    """Knows labels by their values, for a loop moves and copies them.

    Attributes:
        labels: what to look for.
        seen: operations that were given them, in the user's code, with the line.
    """

    def __init__(self) -> None:
        self.labels: Sequence[torch.Tensor] = ()
        self.seen: list[tuple[str, Place]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See the operations while inside."""
        from torch.overrides import TorchFunctionMode

        uses = self

        class Watching(TorchFunctionMode):
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]  # as torch has it
                name = str(getattr(func, "__name__", ""))
                if name not in MOVES and any(map(uses.is_label, [*args, *(kwargs or {}).values()])):
                    place = here()
                    if place and (name, place) not in uses.seen:
                        uses.seen.append((name, place))
                return func(*args, **(kwargs or {}))

        with Watching():
            yield

    def is_label(self, given: Any) -> bool:
        """Tell whether this holds the values of one of the labels."""
        import torch

        return isinstance(given, torch.Tensor) and any(
            given.numel() == label.numel() and bool((given.flatten() == label.flatten()).all())
            for label in self.labels
            if label.numel() and given.device == label.device
        )
